"""A solver and a miner that only know docs/protocol.md take part: beside ours, alone, across a crash and an absence."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing, closing
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from protocol import subnet as wire
from protocol.identity import Identity, fingerprint_of
from protocol.proof import Proof, Statement, verify
from protocol.prover import prove
from protocol.puzzle import Puzzle, commit, make_modulus
from protocol.vault import PuzzleAccepted, PuzzleAnswered, SubmitPuzzle
from tests.acceptance import stranger_solver as stranger
from tests.conftest import StartServer, StartSolver
from tests.dialling import dial
from tests.processes import START_SECONDS_MAX, LoggingProcess, Server
from vault_client import Subnet, connect_subnet

SOURCE = Path(stranger.__file__)
MINER_SOURCE = SOURCE.with_name("stranger_miner.py")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
ALLOWED = {"websockets", "msgpack", "cryptography"} | sys.stdlib_module_names
ITS_OWN = {"stranger_solver", "tests.acceptance"}
"""What the miner has of the solver: by its file's name, and by its package for types alone."""

SQUARINGS = 20_000
MODULUS, TRAPDOOR = make_modulus(1024)
TASK, SOLVER = "ab" * 16, "cd" * 16


def imports_of(source: Path) -> set[str]:
    """The full names of the modules that a file imports, wherever in it."""
    imported = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import leads to ours"
            imported.add(node.module or "")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("__import__", "exec", "eval")
    assert "importlib" not in imported
    return imported


def test_the_stranger_imports_nothing_of_ours() -> None:
    roots = {name.partition(".")[0] for name in imports_of(SOURCE)}
    assert roots >= {"websockets", "msgpack", "cryptography"}
    assert not roots - ALLOWED


def test_the_miner_imports_nothing_but_the_stranger() -> None:
    imported = imports_of(MINER_SOURCE)
    assert "stranger_solver" in imported
    assert not {name.partition(".")[0] for name in imported - ITS_OWN} - ALLOWED


def vectors_of_the_document() -> dict[str, str]:
    lines = (line.partition(" = ") for line in DOCUMENT.read_text().splitlines())
    return {name: value for name, separator, value in lines if separator}


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_documents_puzzles_are_right_without_a_short_cut(size: str) -> None:
    vectors = {name: value for name, value in vectors_of_the_document().items() if name.startswith(size)}
    product, base = int(vectors[f"{size}.product"], 16), int(vectors[f"{size}.baseg"], 16)
    answer = pow(base, 1 << int(vectors[f"{size}.t"]), product)
    raw = answer.to_bytes((product.bit_length() + 7) // 8, "big")
    assert raw.hex() == vectors[f"{size}.answer_bytes"]
    assert hashlib.sha256(raw).hexdigest() == vectors[f"{size}.commitment"]


def test_the_stranger_arrives_at_the_documents_vectors() -> None:
    """What it made of the document's words is what the document's vectors say."""
    vectors = vectors_of_the_document()

    def raw(name: str) -> bytes:
        return bytes.fromhex(vectors[name])

    stranger_of = stranger.Solver("ws://vault.example:8765", Ed25519PrivateKey.from_private_bytes(b"\x02" * 32), None)
    assert stranger_of.public == raw("key")
    assert stranger.fingerprint(stranger_of.public) == vectors["fingerprint"]
    challenge, hello = stranger.read(raw("challenge_frame")), stranger.read(raw("hello_frame"))
    assert stranger.transcript(stranger_of.authority) == raw("T")
    assert stranger.challenge_string(challenge) == raw("CHALLENGE")
    assert stranger.hello_string(hello) == raw("HELLO")
    assert stranger_of.key.sign(stranger.hello_signed(challenge, hello)) == raw("hello_signature")
    h = stranger.conversation_hash(challenge, hello)
    assert h == raw("h")
    server_ephemeral = X25519PublicKey.from_public_bytes(raw("server_ephemeral"))
    secret = X25519PrivateKey.from_private_bytes(b"\x04" * 32).exchange(server_ephemeral)
    assert secret == raw("shared_secret")
    sends = stranger.Direction(stranger.direction_key(secret, h, b"vault v1 client to server"))
    stranger_of.opens = stranger.Direction(stranger.direction_key(secret, h, b"vault v1 server to client"))
    stranger_of.enter(raw("server_key"), h, raw("welcome_frame"))
    assert stranger_of.server_key == raw("server_key")
    assert sends.seal(raw("first_payload")) == raw("first_frame")
    assert sends.seal(raw("second_payload")) == raw("second_frame")


def residues(base: int, product: int, e: int, depth: int) -> dict[int, int]:
    kept, y, done = {}, base, 0
    for stop in (*stranger.indices(e, depth), e):
        y, done = pow(y, 1 << (stop - done), product), stop
        kept[stop] = y
    return kept


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_stranger_makes_the_documents_proofs(size: str) -> None:
    vectors = vectors_of_the_document()
    t, product, base = (
        int(vectors[f"proof.{size}.t"]),
        int(vectors[f"{size}.product"], 16),
        int(vectors[f"{size}.baseg"], 16),
    )
    about = (vectors["task"], vectors["solver"], t, base, product)
    assert stranger.statement(*about).hex() == vectors[f"proof.{size}.STATEMENT"]
    e = t - 64
    kept = residues(base, product, e, stranger.rounds(e))
    proof = stranger.prove(*about, kept)
    assert proof.hex() == vectors[f"proof.{size}.proof"]
    assert stranger.proved_answer(*about, proof) == int(vectors[f"proof.{size}.answer"], 16)


@pytest.mark.parametrize("squarings", [65, 66, 1_087, 1_088, 2_112, 20_001, 65_600])
def test_the_stranger_and_we_take_each_others_proofs(squarings: int) -> None:
    """Below and above the first round, and with more rounds than residues are kept for."""
    puzzle, e = Puzzle(squarings, 5, MODULUS), squarings - 64
    theirs = (TASK, SOLVER, squarings, 5, MODULUS)
    kept = residues(5, MODULUS, e, min(stranger.DEPTH, stranger.rounds(e)))
    proof = stranger.prove(*theirs, kept)
    statement, y = Statement(puzzle, TASK, SOLVER), TRAPDOOR.power(5, squarings)
    assert verify(statement, Proof.decode(proof, puzzle)) == y
    assert prove(statement, kept.items()).encode(MODULUS) == proof
    assert stranger.proved_answer(*theirs, proof) == y
    # The first midpoint is the same whatever is drawn: until there are two, nothing shows whose proof it is.
    assert (stranger.proved_answer(TASK, TASK, squarings, 5, MODULUS, proof) is None) == (stranger.rounds(e) > 1)
    assert stranger.proved_answer(*theirs, proof[:-1]) is None


class Stranger(LoggingProcess):
    """`python stranger_solver.py URL KEYFILE SERVER_KEY`, with no word of ours on its path."""

    source, greeting = SOURCE, "status_updated"

    def __init__(self, server: Server, folder: Path, name: str) -> None:
        super().__init__(name, folder)
        self.server = server
        self.key_path = folder / f"{name}.raw-key"
        self.server_key = server.server_key

    @property
    def public_key(self) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(self.key_path.read_bytes()).public_key().public_bytes_raw()

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.public_key)

    @property
    def hotkey(self) -> str:
        return self.public_key.hex()

    def command(self) -> Sequence[str | Path]:
        return ["-P", self.source, self.server.url, self.key_path, self.server_key]

    async def start(self) -> None:
        greeted = len(self.find("heard", type=self.greeting))
        self.launch()
        await self.event("heard", type=self.greeting, count=greeted + 1, seconds=START_SECONDS_MAX)


class StrangerMiner(Stranger):
    """`python stranger_miner.py URL KEYFILE SERVER_KEY`: the same person, in the subnet."""

    source, greeting = MINER_SOURCE, "registered"


class StartStranger(Protocol):
    """`await start_stranger(server)`: a stranger that is online."""

    async def __call__(self, server: Server, kind: type[Stranger] = Stranger) -> Stranger:
        """Start one more."""


@pytest.fixture
def start_stranger(processes: list[LoggingProcess], tmp_path: Path) -> StartStranger:
    async def start(server: Server, kind: type[Stranger] = Stranger) -> Stranger:
        process = kind(server, tmp_path, f"stranger-{len(processes)}")
        processes.append(process)
        await process.start()
        return process

    return start


async def answer_of(server: Server, squarings: int, **more: Any) -> tuple[str, PuzzleAnswered]:
    async with await dial(server.url) as client:
        order = SubmitPuzzle(t=squarings, baseg=5, product=MODULUS, **more)
        accepted = await client.ask(order, PuzzleAccepted)
        answered = await client.take(PuzzleAnswered, seconds=60)
    assert answered.task == accepted.task
    return accepted.task, answered


async def test_a_stranger_and_our_own_solver_agree(
    start_server: StartServer, start_solver: StartSolver, start_stranger: StartStranger
) -> None:
    server = await start_server()
    ours, theirs = await asyncio.gather(start_solver(server), start_stranger(server))
    task, answered = await answer_of(server, SQUARINGS, proof="none")
    assert answered.answer == TRAPDOOR.power(5, SQUARINGS)
    assert answered.judged_by == "agreed"
    await server.event("task.answered", task=task)
    asked = {event["solver"] for event in server.find("task.assigned", task=task)}
    assert asked == {ours.fingerprint, theirs.fingerprint}
    answers = {event["solver"] for event in server.find("assignment.answered", task=task, verdict="unproved")}
    assert answers == asked


async def test_a_proved_answer_of_a_stranger_needs_nobody_to_agree(
    start_server: StartServer, start_stranger: StartStranger
) -> None:
    server = await start_server()
    theirs = await start_stranger(server)
    task, answered = await answer_of(server, SQUARINGS)
    assert (answered.answer, answered.judged_by) == (TRAPDOOR.power(5, SQUARINGS), "proof")
    assert answered.solver == theirs.fingerprint
    assert answered.proof is not None
    puzzle = Puzzle(SQUARINGS, 5, MODULUS)
    statement = Statement(puzzle, task, answered.solver)
    assert verify(statement, Proof.decode(answered.proof, puzzle)) == answered.answer
    await server.event("assignment.answered", task=task, solver=theirs.fingerprint, verdict="valid")


async def test_what_our_own_solver_proves_a_stranger_can_check(
    start_server: StartServer, start_solver: StartSolver
) -> None:
    server = await start_server()
    ours = await start_solver(server)
    task, answered = await answer_of(server, SQUARINGS)
    assert (answered.judged_by, answered.solver) == ("proof", ours.fingerprint)
    assert answered.proof is not None
    assert stranger.proved_answer(task, ours.fingerprint, SQUARINGS, 5, MODULUS, answered.proof) == answered.answer


async def test_two_strangers_answer_a_task_with_a_commitment(
    start_server: StartServer, start_stranger: StartStranger
) -> None:
    server = await start_server()
    await asyncio.gather(start_stranger(server), start_stranger(server))
    expected = TRAPDOOR.power(5, SQUARINGS)
    task, answered = await answer_of(server, SQUARINGS, commitment=commit(expected, MODULUS))
    assert (answered.answer, answered.judged_by) == (expected, "commitment")
    await server.event("assignment.answered", task=task, verdict="valid")


async def test_strangers_come_back_after_the_server_was_killed(
    start_server: StartServer, start_stranger: StartStranger
) -> None:
    """What they were at is pushed again, and they go on instead of beginning anew."""
    server = await start_server()
    strangers = await asyncio.gather(start_stranger(server), start_stranger(server))
    squarings = 800_000
    identity = Identity.generate()
    async with await dial(server.url, identity=identity) as client:
        order = SubmitPuzzle(t=squarings, baseg=5, product=MODULUS)
        accepted = await client.ask(order, PuzzleAccepted)
        await server.event("assignment.accepted", task=accepted.task, count=2)
        await server.kill()
    await server.start()
    async with await dial(server.url, identity=identity) as client:
        answered = await client.take(PuzzleAnswered, seconds=120)
    assert answered.task == accepted.task
    assert answered.answer == TRAPDOOR.power(5, squarings)
    for process in strangers:
        await process.event("welcome", count=2)  # the second may come back when the first has answered
        assert len(process.find("offered")) == 1


async def test_a_stranger_says_nothing_to_a_server_whose_key_is_not_the_one_it_was_told(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = await start_server()
    process = Stranger(server, tmp_path, "stranger")
    process.server_key = "00" * 32
    process.launch()
    assert await process.wait() == 1
    assert "another server" in process.stderr_path.read_text()
    assert not server.find("connection.opened")


# in the subnet

Event = TypeVar("Event")
ANSWER = '"SAY SOMETHING LONG"'


async def following(subnet: Subnet, kind: type[Event]) -> Event:
    """The next event of that kind; those before it are taken."""
    async with asyncio.timeout(15), aclosing(subnet.events()) as events:
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError("events end by raising")


async def vote_for(voter: Subnet, text: str, *, among: set[str]) -> None:
    """Wait to be asked, and vote for the completion with this text."""
    asked = await following(voter, wire.VoteRequested)
    assert {asked.a, asked.b} == among
    await voter.vote(asked.task_id, "a" if asked.a == text else "b")


async def nothing_waits_for(server: Server, stranger_there: Stranger) -> None:
    """What it was told is done with: it has acknowledged everything."""
    waiting, receiver = "SELECT kind FROM outbox WHERE receiver = ?", f"key:{stranger_there.fingerprint}"
    async with asyncio.timeout(15):
        with closing(sqlite3.connect(f"file:{server.database}?mode=ro", uri=True)) as connection:
            while connection.execute(waiting, (receiver,)).fetchall():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)


async def test_a_stranger_mines_where_our_own_clients_ask_and_judge(
    start_server: StartServer, start_stranger: StartStranger
) -> None:
    server = await start_server()
    miner = await start_stranger(server, StrangerMiner)
    async with AsyncExitStack() as open_until_the_end:
        validator, *voters = [
            await open_until_the_end.enter_async_context(connect_subnet(server.url)) for _ in range(4)
        ]
        for voter in voters:
            await voter.register(judging=True)
        created = await validator.create_task("talk", {"prompt": "say something long"}, "short")
        assert created.assigned_miner_hotkey == miner.hotkey
        await miner.event("completion_taken", task=created.task_id)
        for voter, text in zip(voters, (ANSWER, '"short"', ANSWER), strict=True):
            await vote_for(voter, text, among={ANSWER, '"short"'})
        scored = await following(validator, wire.TaskScored)
        assert sorted(line.chosen for line in scored.votes) == ["miner", "miner", "validator"]
        await miner.event("task_scored", task=created.task_id)
        await miner.event("standing_changed", task=created.task_id, change=0.666667)
        whole = await validator.task(created.task_id)
        assert (whole.status, whole.miner_completion, whole.submitted_by) == ("scored", ANSWER, miner.hotkey)
        moves = [(line.score_change, line.reason) async for line in voters[0].score_history(miner.hotkey)]
        assert moves == [(0.666667, "generator_votes")]
    await nothing_waits_for(server, miner)


async def test_a_stranger_answers_what_it_was_given_while_it_was_away(
    start_server: StartServer, start_stranger: StartStranger
) -> None:
    """A task that waits is pushed again, here without its metadata, too large for a push; one that has gone is not."""
    server = await start_server()
    miner = await start_stranger(server, StrangerMiner)
    await miner.terminate()
    async with connect_subnet(server.url) as validator:
        prompt = "say it " * (wire.INLINE_BYTES_MAX // 7 + 1)
        waits = await validator.create_task("talk", {"prompt": prompt}, "short", miner=miner.hotkey)
        gone = await validator.create_task("talk", {"prompt": "never mind"}, "short", miner=miner.hotkey)
        await validator.cancel_task(gone.task_id)
        await miner.start()
        assert (await following(validator, wire.CompletionSubmitted)).task_id == waits.task_id
        assert (await validator.task(waits.task_id)).miner_completion == f'"{prompt.upper()}"'
    await miner.event("task_withdrawn", task=gone.task_id)
    assert [event["task"] for event in miner.find("assigned")] == [waits.task_id]
    await nothing_waits_for(server, miner)
