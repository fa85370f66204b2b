"""Locked files opened by a real server and two real solvers, through every break on the way."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from protocol.catalog import FROM_SERVER
from protocol.codec import Codec
from protocol.envelope import Envelope
from protocol.identity import Identity
from protocol.peer import SEALED
from protocol.puzzle import Puzzle, Ticket, make_locked
from protocol.session import Error
from tests.conftest import StartSolver
from tests.processes import Server
from tests.vault_client.conftest import Client, Command, Sample
from tests.vault_client.test_files import full_disk
from vault_client.delegation import Delegation
from vault_client.errors import FileError, Refused, TaskCancelledError, VaultClientError, WrongFile
from vault_client.link import REFUSALS_MAX
from vault_client.locked_file import LockedFile, lock_file
from vault_client.resume import Resume, read_resume, resume_path, write_resume
from vault_client.sdk import connect
from vault_client.tickets import write_ticket

LONG = 4_000_000
"""Squarings modulo 512 bits: half a second or more for a solver."""
NEVER = 10**12
"""A day or more."""


@pytest.fixture(scope="module")
def long_made() -> tuple[Puzzle, int, Ticket]:
    return make_locked(LONG, 512)


@pytest.fixture
def long_locked(long_made: tuple[Puzzle, int, Ticket], tmp_path: Path) -> LockedFile:
    """A file that takes its solvers seconds, and its ticket."""
    (tmp_path / "letter.txt").write_bytes(b"in a second" * 1_000)
    locked = tmp_path / "letter.txt.locked"
    header = lock_file(tmp_path / "letter.txt", locked, long_made[0], long_made[1])
    write_ticket(tmp_path / "letter.txt.ticket", header, long_made[2])
    return LockedFile.examine(locked)


@pytest.fixture
def client(tmp_path: Path, solved: Server) -> Iterator[Client]:
    made = Client(tmp_path, solved)
    yield made
    made.kill_all()


Ask = Callable[..., Result]


@pytest.fixture
def ask(client: Client, command: Command) -> Ask:
    """Run a command that asks the shared server, as this test's client."""

    def run(name: str, *arguments: object, code: int = 0) -> Result:
        result = command(name, *arguments, *client.options())
        assert result.exit_code == code, result.output
        return result

    return run


async def until_submitted(process: subprocess.Popen[str], locked: LockedFile) -> str:
    """Wait until the client has written down its task; returns the task's id."""
    async with asyncio.timeout(20):
        while True:
            resume = read_resume(resume_path(locked.path), locked.header)
            if resume is not None and resume.task is not None:
                return resume.task
            assert process.poll() is None, process.communicate()
            await asyncio.sleep(0.01)


def test_a_file_is_opened_with_its_ticket_and_nobody_sees_its_base(
    command: Command, ask: Ask, client: Client, tmp_path: Path
) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_bytes(b"only the ticket's holder reads this" * 9_000)
    assert command("lock", letter, "--squarings", 50_000, "--bits", 512).exit_code == 0
    said = ask("unlock", "letter.txt.locked", "--out", "opened.txt").stderr
    assert (tmp_path / "opened.txt").read_bytes() == letter.read_bytes()
    assert "will learn" not in said
    assert not resume_path(tmp_path / "letter.txt.locked").exists()
    [answered] = client.server.find("task.answered", task=said.split("Task ")[1].split(":")[0])
    assert answered["judged_by"] == "proof", "no commitment to the answer left this machine"
    assert "The answer is proved: solver " in said


async def test_what_is_sent_with_a_ticket_is_another_base_each_time(solved: Server, sample: Sample) -> None:
    locked = LockedFile.examine(sample.locked)
    bases = set()
    for _ in range(3):
        identity = Identity.generate()
        delegation = Delegation.prepare(locked, sample.ticket, solved.url, identity.fingerprint, print)
        async with connect(solved.url, identity=identity) as vault:
            sent: list[int] = []
            submit = vault.submit

            async def watched(*, baseg: int, **order: object) -> object:
                sent.append(baseg)  # noqa: B023
                return await submit(baseg=baseg, **order)  # type: ignore[arg-type]  # noqa: B023

            vault.submit = watched  # type: ignore[assignment,method-assign]
            answer = await delegation.answer(await delegation.submit(vault))
        delegation.forget()
        assert answer == sample.answer
        bases |= set(sent)
    assert len(bases) == 3
    assert sample.puzzle.base not in bases


def test_a_file_is_opened_without_a_ticket_and_the_user_is_told_what_that_means(
    ask: Ask, sample: Sample, tmp_path: Path
) -> None:
    said = ask("unlock", sample.locked, "--out", "opened.txt").stderr
    assert (tmp_path / "opened.txt").read_bytes() == sample.plain.read_bytes()
    assert "the server and its solvers will learn the answer" in said


async def test_ctrl_c_leaves_the_solvers_at_work_and_the_next_run_goes_on(
    client: Client, long_locked: LockedFile, tmp_path: Path
) -> None:
    first = client.start("unlock", long_locked.path, "--out", "opened.txt")
    task = await until_submitted(first, long_locked)
    first.send_signal(signal.SIGINT)
    _, said = await client.end(first, 130)
    assert "run the same command again" in said
    assert not (tmp_path / "opened.txt").exists()
    assert resume_path(long_locked.path).stat().st_mode & 0o777 == 0o600
    await client.server.event("task.answered", task=task)
    _, said = await client.end(client.start("unlock", long_locked.path, "--out", "opened.txt"))
    assert f"Going on with task {task}" in said
    assert (tmp_path / "opened.txt").read_bytes() == (tmp_path / "letter.txt").read_bytes()
    assert not resume_path(long_locked.path).exists()
    submitted = client.server.find("task.submitted", client=client.identity.fingerprint)
    assert [event["task"] for event in submitted] == [task]


def test_a_full_disk_after_the_wait_loses_nothing(ask: Ask, client: Client, sample: Sample, tmp_path: Path) -> None:
    write_ticket(tmp_path / "letter.txt.ticket", sample.header, sample.ticket)
    with full_disk(100_000):
        refused = ask("unlock", sample.locked, "--out", "opened.txt", code=1)
    assert "Cannot write opened.txt" in refused.stderr
    assert not (tmp_path / "opened.txt").exists()
    ask("unlock", sample.locked, "--out", "opened.txt")
    assert (tmp_path / "opened.txt").read_bytes() == sample.plain.read_bytes()
    assert len(client.server.find("task.submitted", client=client.identity.fingerprint)) == 1


async def test_a_client_killed_before_it_knew_its_task_goes_on_with_the_same_one(
    solved: Server, sample: Sample
) -> None:
    identity, locked = Identity.generate(), LockedFile.examine(sample.locked)
    path = resume_path(locked.path)
    first = Delegation.prepare(locked, sample.ticket, solved.url, identity.fingerprint, print)
    async with connect(solved.url, identity=identity) as vault:
        task = await first.submit(vault)
    written = read_resume(path, locked.header)
    assert written is not None
    forgotten = Resume(written.server, written.client, written.idempotency_key, written.blinding)
    write_resume(path, locked.header, forgotten)
    second = Delegation.prepare(locked, sample.ticket, solved.url, identity.fingerprint, print)
    async with connect(solved.url, identity=identity) as vault:
        again = await second.submit(vault)
        assert again.id == task.id
        assert await second.answer(again) == sample.answer


@pytest.mark.parametrize("gone", ["cancelled", "unknown"])
async def test_a_wait_that_can_bring_nothing_is_begun_anew(gone: str, solved: Server, sample: Sample) -> None:
    identity, locked = Identity.generate(), LockedFile.examine(sample.locked)
    notices: list[str] = []
    path = resume_path(locked.path)
    async with connect(solved.url, identity=identity) as vault:
        lost = "00" * 16
        if gone == "cancelled":
            task = await vault.submit(t=NEVER, baseg=3, product=sample.puzzle.modulus)
            await vault.cancel(task.id)
            lost = task.id
        write_resume(path, locked.header, Resume(solved.url, identity.fingerprint, "k", 2**639, lost))
        delegation = Delegation.prepare(locked, sample.ticket, solved.url, identity.fingerprint, notices.append)
        answer = await delegation.answer(await delegation.submit(vault))
    assert answer == sample.answer
    assert "anew" in notices[0]
    assert lost in notices[0]


@pytest.mark.parametrize(
    ("server", "client", "blinding", "said"),
    [
        ("ws://other:1", None, 2**639, "--server ws://other:1"),
        (None, "ab" * 16, 2**639, "another key"),
        (None, None, None, "without the ticket"),
    ],
)
def test_a_wait_of_another_kind_is_refused_and_kept(
    server: str | None, client: str | None, blinding: int | None, said: str, sample: Sample
) -> None:
    locked = LockedFile.examine(sample.locked)
    path = resume_path(locked.path)
    write_resume(path, locked.header, Resume(server or "ws://h:1", client or "cd" * 16, "k", blinding, "00" * 16))
    before = path.read_bytes()
    with pytest.raises(WrongFile, match=said):
        Delegation.prepare(locked, sample.ticket, "ws://h:1", "cd" * 16, print)
    assert path.read_bytes() == before


async def test_cancelling_from_elsewhere_ends_the_wait_that_is_looked_after(
    solved: Server, long_locked: LockedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vault_client.vault.LOOK_UP_SECONDS", 0.2)
    identity = Identity.generate()
    delegation = Delegation.prepare(long_locked, None, solved.url, identity.fingerprint, print)
    async with connect(solved.url, identity=identity) as vault, connect(solved.url, identity=identity) as elsewhere:
        task = await delegation.submit(vault)
        waiting = asyncio.create_task(delegation.answer(task))
        await asyncio.sleep(0.1)
        await elsewhere.cancel(task.id)
        with pytest.raises(TaskCancelledError):
            await asyncio.wait_for(waiting, 30)
    assert not resume_path(long_locked.path).exists()


async def test_the_server_is_killed_during_the_wait_and_the_file_opens_all_the_same(
    server: Server, start_solver: StartSolver, long_locked: LockedFile, tmp_path: Path
) -> None:
    await asyncio.gather(start_solver(server), start_solver(server))
    client = Client(tmp_path, server)
    process = client.start("unlock", long_locked.path, "--out", "opened.txt")
    try:
        await until_submitted(process, long_locked)
        await server.kill()
        await asyncio.sleep(0.3)
        await server.restart()
        _, said = await client.end(process)
    finally:
        client.kill_all()
    assert "Connection lost" in said
    assert "Connected again" in said
    assert (tmp_path / "opened.txt").read_bytes() == (tmp_path / "letter.txt").read_bytes()


def test_a_wrong_pin_is_refused_before_anything_is_sent(ask: Ask, client: Client, sample: Sample) -> None:
    client.known.write_text(client.server.pin[:-64] + "ab" * 32 + "\n")
    assert "pinned" in ask("unlock", sample.locked, "--out", "opened.txt", code=1).stderr
    client.known.write_text("")
    refused = ask("unlock", sample.locked, "--out", "opened.txt", "--server-key", "ab" * 32, code=1)
    assert "as was asked" in refused.stderr
    assert not resume_path(sample.locked).exists()
    assert not [e for e in client.server.events if client.identity.fingerprint in e.values()]


def test_submit_status_and_cancel_speak_json(ask: Ask, sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "n").write_text(f"{sample.puzzle.modulus:#x}\n")
    numbers = ["--baseg", sample.puzzle.base, "--product", "@n"]
    answered = json.loads(ask("submit", "--t", 40, *numbers, "--json").stdout)
    assert int(answered["answer"], 0) == sample.answer
    assert answered["judged_by"] == "computed"
    state = json.loads(ask("status", answered["task"], "--json").stdout)
    assert (state["status"], state["answer"]) == ("answered", answered["answer"])
    refused = json.loads(ask("cancel", answered["task"], "--json", code=1).stderr)
    assert (refused["code"], refused["retryable"]) == ("TASK_ENDED", False)


def test_submit_status_and_cancel_speak_to_people(ask: Ask, sample: Sample) -> None:
    numbers = ["--baseg", sample.puzzle.base, "--product", sample.puzzle.modulus]
    assert int(ask("submit", "--t", 40, *numbers).stdout, 0) == sample.answer
    task = ask("submit", "--t", 10**12, *numbers, "--no-wait").stdout.strip()
    assert "assigned" in ask("status", task).stdout
    assert task in ask("cancel", task).stdout
    assert "cancelled" in ask("status", task).stdout
    unknown = ask("status", "00" * 16, code=1).stderr
    assert unknown.startswith("error: ")


def test_a_number_comes_from_standard_input(command: Command, client: Client, sample: Sample) -> None:
    numbers = ["--baseg", "-", "--product", sample.puzzle.modulus]
    result = command("submit", "--t", 40, *numbers, *client.options(), stdin=f"{sample.puzzle.base}\n".encode())
    assert int(result.stdout, 0) == sample.answer


@pytest.mark.parametrize("what", ["with the ticket", "without it"])
def test_an_answer_to_another_puzzle_is_rejected_and_the_wait_is_over(
    what: str, ask: Ask, client: Client, sample: Sample, tmp_path: Path
) -> None:
    """The resume file names a task whose answer is right for another puzzle: what a lying server could bring."""
    numbers = ["--baseg", 3, "--product", sample.puzzle.modulus]
    task = ask("submit", "--t", 40, *numbers, "--no-wait").stdout.strip()
    locked = LockedFile.examine(sample.locked)
    blinding = 2**639 if what == "with the ticket" else None
    if blinding is not None:
        write_ticket(tmp_path / "letter.txt.ticket", sample.header, sample.ticket)
    write_resume(
        resume_path(locked.path),
        locked.header,
        Resume(client.server.url, client.identity.fingerprint, "k", blinding, task),
    )
    before = sample.locked.read_bytes()
    refused = ask("unlock", sample.locked, "--out", "opened.txt", code=5)
    assert "this machine has computed it again, and it is another number" in refused.stderr
    assert not (tmp_path / "opened.txt").exists()
    assert not resume_path(sample.locked).exists()
    assert sample.locked.read_bytes() == before


def test_a_right_answer_that_does_not_open_the_file_speaks_against_the_ticket(
    ask: Ask, sample: Sample, tmp_path: Path
) -> None:
    """Whoever made this ticket could compute its checksum: the answer is right, and is unblinded to a wrong one."""
    planted = Ticket(sample.ticket.base_root, sample.ticket.base_root_inverse_power + 1)
    write_ticket(tmp_path / "letter.txt.ticket", sample.header, planted)
    refused = ask("unlock", sample.locked, "--out", "opened.txt", code=1)
    assert "not the one that the file was locked with" in refused.stderr
    assert "or its ticket is not as its maker made it" in refused.stderr
    assert not (tmp_path / "opened.txt").exists()
    assert not resume_path(sample.locked).exists()
    ask("unlock", sample.locked, "--out", "opened.txt", "--local")


def test_a_wait_goes_on_with_the_proof_that_it_was_begun_with(ask: Ask, client: Client, sample: Sample) -> None:
    locked = LockedFile.examine(sample.locked)
    path = resume_path(locked.path)
    numbers = ["--baseg", sample.puzzle.base, "--product", sample.puzzle.modulus]
    task = ask("submit", "--t", 40, *numbers, "--no-wait", "--proof", "none").stdout.strip()
    begun = Resume(client.server.url, client.identity.fingerprint, "k", None, task, "none")
    write_resume(path, locked.header, begun)
    assert read_resume(path, locked.header) == begun
    refused = ask("unlock", sample.locked, "--out", "opened.txt", code=1)
    assert "begun with --proof none" in refused.stderr
    ask("unlock", sample.locked, "--out", "opened.txt", "--proof", "none")


class Stranger:
    """Somebody on the path who holds no key: passes the server's frames on until armed, then forges a refusal."""

    def __init__(self, code: str, times: int) -> None:
        self.forged = Error(code=code, message="Your key is revoked.", suggestion="Run this.", retryable=False)
        self.left = times

    async def answer(self, socket: ServerConnection) -> None:
        self.left -= 1
        codec = Codec(binary=True, reads=FROM_SERVER, strict=False, frame_bytes_max=65_536)
        await socket.send(codec.encode(Envelope(self.forged)))


@pytest.mark.parametrize("code", ["TASK_NOT_FOUND", "HELLO_REFUSED", "WRONG_AUTHORITY", "PRODUCT_TOO_SMALL"])
async def test_a_stranger_without_a_key_cannot_have_a_wait_forgotten(code: str, sample: Sample) -> None:
    identity, locked = Identity.generate(), LockedFile.examine(sample.locked)
    stranger = Stranger(code, 100)
    async with serve(stranger.answer, "127.0.0.1", 0, subprotocols=[Subprotocol(SEALED.name)]) as listening:
        url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        path = resume_path(locked.path)
        write_resume(path, locked.header, Resume(url, identity.fingerprint, "k", 2**639, "00" * 16))
        before = path.read_bytes()
        delegation = Delegation.prepare(locked, sample.ticket, url, identity.fingerprint, print)
        with pytest.raises(VaultClientError) as caught:
            async with connect(url, identity=identity) as vault:
                await delegation.submit(vault)
    assert not isinstance(caught.value, Refused)
    assert "revoked" not in str(caught.value)
    assert path.read_bytes() == before
    if code in ("HELLO_REFUSED", "WRONG_AUTHORITY"):
        assert stranger.left == 100 - REFUSALS_MAX


async def test_a_wait_that_is_begun_anew_keeps_the_old_one_until_the_new_task_is_accepted(
    solved: Server, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, locked = Identity.generate(), LockedFile.examine(sample.locked)
    path = resume_path(locked.path)
    write_resume(path, locked.header, Resume(solved.url, identity.fingerprint, "k", 2**639, "00" * 16))
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise FileError("no space", "free some")

    made: list[str] = []
    for _ in range(2):
        delegation = Delegation.prepare(locked, sample.ticket, solved.url, identity.fingerprint, print)
        async with connect(solved.url, identity=identity) as vault:
            with monkeypatch.context() as patched:
                patched.setattr("vault_client.delegation.write_resume", full)
                with pytest.raises(FileError):
                    await delegation.submit(vault)
            assert path.read_bytes() == before
    async with connect(solved.url, identity=identity) as vault:
        for _ in range(2):
            delegation = Delegation.prepare(locked, sample.ticket, solved.url, identity.fingerprint, print)
            made.append((await delegation.submit(vault)).id)
    assert len(set(made)) == 1
