"""`list`, `watch` and `complain` as processes against a real server and real solvers."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import Code
from protocol.identity import Identity
from protocol.puzzle import Puzzle, Ticket, make_locked, make_modulus
from protocol.vault import SOLVER_PATH, PuzzleOffered, StatusUpdated, SubmitAnswer, UpdateStatus
from tests.conftest import StartServer, StartSolver
from tests.dialling import dial
from tests.processes import Server
from tests.vault_client.conftest import Client
from tests.vault_client.test_sdk import NEVER, no_push_left
from vault_client import ComplaintRuled, Refused, StandingChanged, TaskProgress, Vault, connect
from vault_client.cli.news import TextNews
from vault_client.watching import Watch

FOLLOWED = 60_000_000
"""Squarings of 512 bits that take even the fastest kernel longer than a progress report."""


@pytest.fixture
async def client(tmp_path: Path, solved: Server) -> AsyncIterator[Client]:
    """`vault-client` in processes of its own, at the shared server."""
    made = Client(tmp_path, solved)
    yield made
    made.kill_all()


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


async def until(process: subprocess.Popen[str], event: str) -> list[dict[str, Any]]:
    """What a `watch --json` prints, up to and with that event."""
    assert process.stdout is not None
    heard: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while not heard or heard[-1]["event"] != event:
            line = await asyncio.to_thread(process.stdout.readline)
            assert line, f"it ended before {event}: {heard} {process.stderr and process.stderr.read()}"
            heard.append(json.loads(line))
    return heard


async def submit(vault: Vault, puzzle: Puzzle) -> str:
    return (await vault.submit(t=puzzle.squarings, baseg=puzzle.base, product=puzzle.modulus)).id


# list


async def test_the_list_has_every_task_of_the_key_and_can_be_narrowed(
    client: Client, solved: Server, made: tuple[Puzzle, int, Ticket]
) -> None:
    _, errors = await client.end(client.start("list"))
    assert errors.strip() == "No tasks."
    async with connect(solved.url, identity=client.identity) as vault:
        answered = await vault.submit(t=5, baseg=3, product=made[0].modulus)
        await answered.answer()
        cancelled = await submit(vault, make_locked(NEVER, 512)[0])
        await vault.cancel(cancelled)
        assert [line.status async for line in vault.tasks()] == ["cancelled", "answered"]
        assert [line.task async for line in vault.tasks(status="answered")] == [answered.id]
    shown = [client.start("list", *words) for words in ([], ["--json", "--status", "answered"], ["--limit", 1])]
    text, narrowed, newest = [(await client.end(process))[0] for process in shown]
    assert [line.split()[:2] for line in text.splitlines()] == [[cancelled, "cancelled"], [answered.id, "answered"]]
    assert "complain until" in text
    [line] = lines(narrowed)
    assert (line["task"], line["status"], line["judged_by"]) == (answered.id, "answered", "computed")
    assert newest.split()[0] == cancelled
    _, errors = await client.end(client.start("list", "--status", "lost"), code=2)
    assert "waiting" in errors


# watch


async def test_watching_named_tasks_ends_with_them(
    client: Client, solved: Server, made: tuple[Puzzle, int, Ticket]
) -> None:
    long, y, _ = make_locked(FOLLOWED, 512)
    never = make_locked(NEVER, 512)[0]
    async with connect(solved.url, identity=client.identity) as vault:
        first, second = await submit(vault, long), await submit(vault, never)
        watch = client.start("watch", first, second, "--json")
        heard = await until(watch, "answered")
        await vault.cancel(second)  # nobody is told: it is looked up when the connection is new, or in a minute
        text = client.start("watch", first, second)
        out, errors = await client.end(text)
        assert errors == ""
        assert {line.split()[0] for line in out.splitlines()} == {first, second}
        assert "is answered (proof, not checked here): 0x" in out
        assert f"{second}  is cancelled" in out
    assert {"task": second, "event": "task"}.items() <= next(e for e in heard if e.get("task") == second).items()
    assert [e for e in heard if e["event"] == "progress" and e["task"] == first and e["total"] == FOLLOWED]
    assert (heard[-1]["task"], heard[-1]["answer"], heard[-1]["judged_by"]) == (first, f"{y:#x}", "proof")
    assert heard[-1]["is_checked"] is False
    out, errors = await client.end(client.start("watch", "ab" * 16, "--json"), code=1)
    assert json.loads(errors)["code"] == "TASK_NOT_FOUND"


@pytest.mark.parametrize("named", [True, False], ids=["named", "all"])
async def test_a_task_that_is_cancelled_elsewhere_leaves_soon_after_its_solvers_fall_silent(
    solved: Server, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """Also one that came and went between two looks at the list, and showed progress: its bar is gone."""
    monkeypatch.setattr("vault_client.watching.SILENT_SECONDS", 0.2)
    identity, heard = Identity.generate(), Heard()
    async with connect(solved.url, identity=identity) as vault, connect(solved.url, identity=identity) as elsewhere:
        watching = Watch(vault, heard, [])
        if named:
            task = await submit(elsewhere, make_locked(NEVER, 512)[0])
            watching = Watch(vault, heard, [task])
        running = asyncio.create_task(watching.run())
        await asyncio.sleep(0.2)
        if not named:
            task = await submit(elsewhere, make_locked(NEVER, 512)[0])
        await asyncio.wait_for(heard.moving.wait(), 10)
        await elsewhere.cancel(task)
        await asyncio.wait_for(heard.over.wait(), 10)
        assert heard.cancelled_tasks == [task]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class Heard(TextNews):
    """What a watch tells of progress and cancelling."""

    def __init__(self) -> None:
        super().__init__()
        self.moving, self.over = asyncio.Event(), asyncio.Event()
        self.cancelled_tasks: list[str] = []

    def progress(self, news: TaskProgress) -> None:
        self.moving.set()

    def cancelled(self, task: str) -> None:
        self.cancelled_tasks.append(task)
        self.over.set()


async def test_watching_everything_sees_what_is_submitted_elsewhere_through_a_restart_and_leaves_quietly(
    start_server: StartServer, start_solver: StartSolver, tmp_path: Path, made: tuple[Puzzle, int, Ticket]
) -> None:
    server = await start_server()
    await start_solver(server, arguments=["--calibration", "0.02"])
    client = Client(tmp_path, server)
    try:
        watch = client.start("watch", "--json")
        await until(watch, "connection")
        await server.restart()
        await until(watch, "connection")
        assert (await until(watch, "connection"))[-1]["connected"] is True
        async with connect(server.url, identity=client.identity) as vault:
            task = await submit(vault, made[0])
            heard = await until(watch, "answered")
            assert (heard[-1]["task"], heard[-1]["answer"]) == (task, f"{made[1]:#x}")
        # It has shown the answer and so ended its push; whoever wants it again asks.
        await no_push_left(server, client.identity)
        out, _ = await client.end(client.start("status", task, "--json"))
        assert json.loads(out)["answer"] == f"{made[1]:#x}"
        watch.send_signal(signal.SIGINT)
        assert (await client.end(watch, code=130))[1] == ""
    finally:
        client.kill_all()


# complain


async def test_a_complaint_that_the_record_refutes_is_rejected_and_pushed_once_it_is_taken(
    client: Client, solved: Server, made: tuple[Puzzle, int, Ticket]
) -> None:
    async with connect(solved.url, identity=client.identity) as vault:
        task = await vault.submit(t=7, baseg=3, product=made[0].modulus)
        await task.answer()
        out, errors = await client.end(client.start("complain", task.id, "--late", "--wait"), code=3)
        assert "is taken" in errors
        assert out.startswith("Rejected: the answer came before")
        with pytest.raises(Refused) as caught:
            await task.complain("late")
        assert caught.value.code == Code.COMPLAINT_EXISTS
        out, _ = await client.end(client.start("complain", task.id, "--no-answer", "--no-wait", "--json"))
        assert (json.loads(out)["kind"], json.loads(out)["ruling"]) == ("no_answer", None)
    # Nobody has taken the second ruling, nor either change of standing: they come again.
    async with connect(solved.url, identity=client.identity) as vault:
        heard = []
        async for event in vault.events():
            heard.append(event)
            if len(heard) == 3:
                break
    kinds = sorted(type(event).__name__ for event in heard)
    assert kinds.count("ComplaintRuled") >= 1
    assert {"ComplaintRuled", "StandingChanged"} == set(kinds)
    standing = [event for event in heard if isinstance(event, StandingChanged)]
    assert all(event.standing == "client" and event.score_change < 0 for event in standing)
    watch = client.start("watch", "--json")
    await until(watch, "standing")
    watch.send_signal(signal.SIGINT)
    await client.end(watch, code=130)


async def test_a_factor_is_read_from_a_file_and_settles_a_wrong_answer(
    start_server: StartServer, tmp_path: Path
) -> None:
    """Both solvers lie; the client knows a factor."""
    server = await start_server()
    client = Client(tmp_path, server)
    modulus, trapdoor = make_modulus(512)
    (tmp_path / "p.txt").write_text(f"{trapdoor.p:#x}\n")
    (tmp_path / "q.txt").write_text(f"{trapdoor.q + 2}\n")
    liars = [Identity.generate(), Identity.generate()]
    try:
        async with connect(server.url, identity=client.identity) as vault:
            task = await _answered_wrongly(vault, server, modulus, liars)
            refused = client.start("complain", task, "--wrong-answer", "--factor-file", "q.txt", "--json")
            _, errors = await client.end(refused, code=1)
            assert json.loads(errors)["code"] == "NOT_A_FACTOR"
            complain = client.start("complain", task, "--wrong-answer", "--factor-file", "p.txt", "--wait", "--json")
            out, errors = await client.end(complain)
            assert json.loads(out)["ruling"] == "upheld"
            assert str(trapdoor.p) not in errors + out
            state = await vault.status(task)
            assert state.status == "failed"
    finally:
        client.kill_all()


async def _answered_wrongly(vault: Vault, server: Server, modulus: int, liars: list[Identity]) -> str:
    ready = UpdateStatus(state="ready", capacity=1, speeds={"4096": 0})
    connections = [await dial(server.url, SOLVER_PATH, liar) for liar in liars]
    try:
        for connection in connections:
            await connection.ask(ready, StatusUpdated)
        task = await vault.submit(t=10**9, baseg=3, product=modulus, proof="none")
        for connection in connections:
            offer, _ = await connection.receive(PuzzleOffered)
            await connection.send(SubmitAnswer(assignment=offer.assignment, answer=12_345))
        assert (await task.answer()).y == 12_345
        return task.id
    finally:
        for connection in connections:
            await connection.close()


@pytest.mark.parametrize(
    "words", [[], ["--late", "--no-answer"], ["--late", "--factor-file", "p.txt"], ["--factor", "5", "--wrong-answer"]]
)
async def test_a_complaint_names_one_kind_and_no_factor_on_the_command_line(client: Client, words: list[str]) -> None:
    await client.end(client.start("complain", "ab" * 16, *words), code=2)


async def test_a_ruling_is_awaited_by_its_own_complaint(solved: Server, made: tuple[Puzzle, int, Ticket]) -> None:
    identity = Identity.generate()
    async with connect(solved.url, identity=identity) as vault:
        task = await vault.submit(t=9, baseg=3, product=made[0].modulus)
        await task.answer()
        complaints = [await task.complain(kind) for kind in ("late", "no_answer")]
        rulings = [await complaint.ruling() for complaint in reversed(complaints)]
        assert all(isinstance(ruling, ComplaintRuled) and ruling.ruling == "rejected" for ruling in rulings)
        assert [ruling.kind for ruling in rulings] == ["no_answer", "late"]
        assert await complaints[0].ruling() == rulings[1]
