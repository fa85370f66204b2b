"""The whole solver as a process against a real server on a real socket."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.peer import SUBPROTOCOLS
from protocol.puzzle import Puzzle, Trapdoor, commit, make_modulus
from protocol.vault import CancelTask, PuzzleAccepted, PuzzleAnswered, SubmitPuzzle, TaskCancelled, TaskProgress
from tests.conftest import StartSolver
from tests.dialling import Dialled, dial
from tests.processes import LoggingProcess, Server, Solver

QUICK = ("--calibration", "0.02")
SHORT = 1000
"""Squarings the server computes itself, to judge an answer."""
SECONDS_LONG = 10**10
"""Squarings that no test waits for."""


class Maker:
    """Makes puzzles of 512 bits and knows their answers."""

    def __init__(self) -> None:
        self.modulus: int
        self._trapdoor: Trapdoor
        self.modulus, self._trapdoor = make_modulus(512)

    def order(self, squarings: int, base: int = 3) -> tuple[SubmitPuzzle, int]:
        puzzle = Puzzle(squarings, base, self.modulus)
        answer = self._trapdoor.power(base, squarings)
        commitment = commit(answer, self.modulus)
        return SubmitPuzzle(t=squarings, baseg=base, product=puzzle.modulus, commitment=commitment), answer


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


async def submit(client: Dialled, order: SubmitPuzzle) -> str:
    return (await client.ask(order, PuzzleAccepted)).task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if holds():
                return
            await asyncio.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


# solving


async def test_it_answers_over_every_subprotocol(server: Server, start_solver: StartSolver, maker: Maker) -> None:
    async with await dial(server.url) as client:
        for subprotocol in SUBPROTOCOLS:
            solver = await start_solver(server, arguments=[*QUICK, "--subprotocol", subprotocol])
            order, answer = maker.order(SHORT)
            task = await submit(client, order)
            told = await client.take(PuzzleAnswered)
            assert (told.task, told.answer) == (task, answer)
            await solver.event("assignment.verdict")
            await solver.terminate()


async def test_it_says_how_far_it_is_and_stops_when_the_task_is_cancelled(
    server: Server, start_solver: StartSolver, maker: Maker
) -> None:
    solver = await start_solver(server, arguments=QUICK)
    async with await dial(server.url) as client:
        task = await submit(client, maker.order(SECONDS_LONG)[0])
        progress, _ = await client.receive(TaskProgress)
        assert progress.task == task
        assert 0 < progress.done < progress.total == SECONDS_LONG
        await client.ask(CancelTask(task=task), TaskCancelled)
        await solver.event("assignment.ended", outcome="released")
        order, answer = maker.order(SHORT)
        await submit(client, order)
        assert (await client.take(PuzzleAnswered)).answer == answer, "its only worker is free again"


async def test_nothing_it_prints_holds_a_parameter_or_an_answer(
    server: Server, start_solver: StartSolver, maker: Maker
) -> None:
    solver = await start_solver(server, arguments=QUICK)
    base, squarings = 0xFEDC_BA98_7654_3210_0F1E_2D3C, 123_457
    async with await dial(server.url) as client:
        order, answer = maker.order(squarings, base)
        await submit(client, order)
        await client.take(PuzzleAnswered)
    await solver.event("assignment.verdict", verdict="valid")
    printed = solver.log_path.read_text() + solver.stderr_path.read_text()
    assert "assignment.solved" in printed
    for secret in (base, squarings, maker.modulus, answer):
        assert str(secret) not in printed
        assert f"{secret:x}" not in printed.lower()


# connections that break, processes that die


async def test_it_goes_on_while_the_server_is_dead_and_answers_the_next_one(
    server: Server, start_solver: StartSolver, maker: Maker
) -> None:
    solver = await start_solver(server, arguments=QUICK)
    order, answer = maker.order(6_000_000)
    client = await dial(server.url)
    task = await submit(client, order)
    await solver.event("assignment.offered")
    await server.kill()
    await solver.event("solver.disconnected")
    await solver.event("assignment.solved")
    await server.restart()
    await server.event("task.answered", task=task)
    await solver.event("assignment.verdict", verdict="valid")
    assert len(solver.find("assignment.offered")) == 1, "what comes again is not begun again"
    async with await dial(server.url, identity=client.peer._identity) as later:
        assert (await later.take(PuzzleAnswered)).answer == answer


async def test_a_killed_solver_leaves_no_worker_and_gets_its_work_again(
    server: Server, start_solver: StartSolver, maker: Maker
) -> None:
    solver = await start_solver(server, arguments=QUICK)
    order, answer = maker.order(6_000_000)
    async with await dial(server.url) as client:
        await submit(client, order)
        await server.event("assignment.accepted")
        workers = children(solver.pid)
        assert len(workers) == 1
        await solver.kill()
        await until(lambda: all(map(is_gone, workers)))
        await solver.start()
        assert (await client.take(PuzzleAnswered)).answer == answer
    assert len(solver.find("assignment.offered")) == 2


async def test_a_killed_worker_is_replaced_in_the_middle_of_its_work(
    server: Server, start_solver: StartSolver, maker: Maker
) -> None:
    solver = await start_solver(server, arguments=QUICK)
    order, answer = maker.order(6_000_000)
    async with await dial(server.url) as client:
        await submit(client, order)
        await solver.event("assignment.accepted")
        os.kill(children(solver.pid)[0], signal.SIGKILL)
        assert (await client.take(PuzzleAnswered)).answer == answer
    assert len(solver.find("worker.died", exit_code=-signal.SIGKILL)) == 1


# bans


async def test_a_banned_solver_keeps_away_until_it_is_over_and_goes_on_with_its_work(
    server: Server, start_solver: StartSolver, maker: Maker
) -> None:
    # Some seconds of work: it must not be over before the operator's command has started.
    solver = await start_solver(server, arguments=(*QUICK, "--kernel", "gmpy2"))
    order, answer = maker.order(40_000_000)
    async with await dial(server.url) as client:
        await submit(client, order)
        await solver.event("assignment.accepted")
        ban = ["ban", solver.fingerprint, "--for", "3s", "--reason", "a test", "--database", str(server.database)]
        operator = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "vault_server", *ban, stdout=asyncio.subprocess.DEVNULL
        )
        assert await operator.wait() == 0
        banned = await solver.event("solver.banned")
        assert "a test" in banned["reason"]
        assert 0 < banned["again_in_s"] <= 3
        assert (await client.take(PuzzleAnswered)).answer == answer
        await solver.event("solver.connected", count=2)
    assert len(solver.find("solver.connected")) == 2, "it did not knock meanwhile"
    assert len(solver.find("solver.banned")) == 1


# pausing


async def test_sigusr1_pauses_and_sigusr2_goes_on(server: Server, start_solver: StartSolver, maker: Maker) -> None:
    solver = await start_solver(server, arguments=QUICK)
    await solver.event("solver.ready")
    solver.send(signal.SIGUSR1)
    await server.event("solver.status", solver=solver.fingerprint, state="paused")
    async with await dial(server.url) as client:
        order, answer = maker.order(SHORT)
        accepted = await client.ask(order, PuzzleAccepted)
        assert accepted.assigned == 0
        os.killpg(solver.pid, signal.SIGUSR2)  # the workers do not mind
        assert (await client.take(PuzzleAnswered)).answer == answer
    assert len(solver.find("solver.paused")) == len(solver.find("solver.resumed")) == 1
    assert not solver.find("worker.died")


# leaving


async def test_sigterm_finishes_what_is_begun_and_hands_back_the_rest(
    server: Server, start_solver: StartSolver, maker: Maker
) -> None:
    solver = await start_solver(server, arguments=[*QUICK, "--capacity", "2"])
    begun, answer = maker.order(15_000_000)
    async with await dial(server.url) as client:
        await submit(client, maker.order(SHORT)[0])  # one right answer, and it is trusted with two tasks
        await client.take(PuzzleAnswered)
        first = await submit(client, begun)
        second = await submit(client, maker.order(SECONDS_LONG)[0])
        await solver.event("assignment.accepted", count=3)
        assert await solver.terminate() == 0
        assert (await client.take(PuzzleAnswered)).answer == answer
    assert server.find("task.answered", task=first)
    assert [event["task"] for event in server.find("assignment.returned")] == [second]
    assert solver.find("solver.stopped", holding=0)
    assert not solver.find("solver.disconnected")


async def test_what_is_not_done_within_the_grace_is_handed_back(
    server: Server, start_solver: StartSolver, maker: Maker
) -> None:
    solver = await start_solver(server, arguments=[*QUICK, "--grace", "0.2"])
    async with await dial(server.url) as client:
        task = await submit(client, maker.order(SECONDS_LONG)[0])
        await solver.event("assignment.accepted")
        assert await solver.terminate() == 0
        await server.event("assignment.returned", task=task)


async def test_ctrl_c_drains_and_a_second_one_hands_everything_back_at_once(
    server: Server, start_solver: StartSolver, maker: Maker
) -> None:
    solver = await start_solver(server, arguments=QUICK)
    async with await dial(server.url) as client:
        task = await submit(client, maker.order(SECONDS_LONG)[0])
        await solver.event("assignment.accepted")
        os.killpg(solver.pid, signal.SIGINT)  # a terminal sends it to the workers, too
        await solver.event("solver.draining")
        await asyncio.sleep(0.2)
        assert solver.running
        os.killpg(solver.pid, signal.SIGINT)
        assert await solver.wait() == 0
        await server.event("assignment.returned", task=task)
    assert not solver.find("worker.died")
    assert solver.stderr_path.read_text() == ""


async def test_with_no_server_to_hand_back_to_a_second_signal_still_ends_it(
    server: Server, start_solver: StartSolver, maker: Maker
) -> None:
    solver = await start_solver(server, arguments=QUICK)
    async with await dial(server.url) as client:
        await submit(client, maker.order(SECONDS_LONG)[0])
        await solver.event("assignment.accepted")
        await server.kill()
    await solver.event("solver.disconnected")
    solver.send(signal.SIGTERM)
    await solver.event("solver.draining")
    assert solver.running, "the server may come back within the grace"
    assert await solver.terminate(seconds=2) == 0
    assert solver.find("solver.stopped", holding=1)


async def test_it_can_be_stopped_before_it_ever_reached_a_server(
    processes: list[LoggingProcess], tmp_path: Path
) -> None:
    server = Server(tmp_path, {})
    server.url = "ws://127.0.0.1:1"  # a port that nobody listens on
    solver = Solver(server, tmp_path, "solver", QUICK)
    processes.append(solver)
    solver.launch()
    await solver.event("solver.unreachable", reason="nothing listens there")
    assert await solver.terminate() == 0


async def test_a_second_solver_with_the_same_key_ends_the_first(
    server: Server, start_solver: StartSolver, processes: list[LoggingProcess], tmp_path: Path
) -> None:
    first = await start_solver(server, arguments=QUICK)
    first.errors_expected.add("solver.failed")
    second = Solver(server, tmp_path, "second", QUICK)
    processes.append(second)
    second.key_path, second.known_servers = first.key_path, first.known_servers
    second.launch()
    assert await first.wait() == 1
    assert "--key" in first.stderr_path.read_text()
    await second.event("solver.ready")


# whom it trusts


async def test_the_first_key_seen_is_kept(server: Server, start_solver: StartSolver, tmp_path: Path) -> None:
    known = tmp_path / "fresh" / "known-servers"
    solver = await start_solver(server, arguments=[*QUICK, "--known-servers", str(known)])
    await solver.event("solver.ready")
    assert server.pin in known.read_text().splitlines()


async def test_a_server_with_another_key_than_the_pinned_one_is_not_spoken_to(
    server: Server, processes: list[LoggingProcess], tmp_path: Path
) -> None:
    other = "ab" * 32
    by_file = Solver(server, tmp_path, "by-file", QUICK)
    by_option = Solver(server, tmp_path, "by-option", [*QUICK, "--server-key", other])
    for solver, pinned in ((by_file, other), (by_option, server.server_key)):
        solver.errors_expected.add("solver.failed")
        processes.append(solver)
        solver.known_servers.write_text(f"{server.authority} {pinned}\n")
        solver.launch()
    for solver, pinned in ((by_file, other), (by_option, server.server_key)):
        assert await solver.wait() == 1
        assert server.server_key[:16] in solver.stderr_path.read_text()
        assert solver.known_servers.read_text() == f"{server.authority} {pinned}\n"
    assert not server.find("solver.online")


# what it cannot write


async def test_a_log_that_cannot_be_written_stops_no_work(
    server: Server, tmp_path: Path, maker: Maker, processes: list[LoggingProcess]
) -> None:
    solver = Solver(server, tmp_path, "solver", QUICK)
    processes.append(solver)
    solver.log_path.symlink_to("/dev/full")
    solver.launch()
    await server.event("solver.status", state="ready")
    async with await dial(server.url) as client:
        order, answer = maker.order(SHORT)
        await submit(client, order)
        assert (await client.take(PuzzleAnswered)).answer == answer
    assert await solver.terminate() == 0
    solver.log_path.unlink()


async def test_known_servers_that_cannot_be_written_end_it_before_it_takes_work(
    server: Server, processes: list[LoggingProcess], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    solver = Solver(server, tmp_path, "solver", [*QUICK, "--known-servers", str(tmp_path / "file" / "below")])
    solver.errors_expected.add("solver.failed")
    processes.append(solver)
    solver.launch()
    assert await solver.wait() == 1
    assert "file/below" in solver.stderr_path.read_text()
    assert not server.find("solver.status")
