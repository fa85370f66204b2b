"""A solver that only knows docs/protocol.md takes part: beside ours, alone with another of its kind, across a crash."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from protocol.identity import Identity, fingerprint_of
from protocol.proof import Proof, Statement, verify
from protocol.prover import prove
from protocol.puzzle import Puzzle, commit, make_modulus
from protocol.vault import PuzzleAccepted, PuzzleAnswered, SubmitPuzzle
from tests.acceptance import stranger_solver as stranger
from tests.conftest import StartServer, StartSolver
from tests.dialling import dial
from tests.processes import START_SECONDS_MAX, LoggingProcess, Server

SOURCE = Path(stranger.__file__)
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
ALLOWED = {"websockets", "msgpack", "cryptography"} | sys.stdlib_module_names

SQUARINGS = 20_000
MODULUS, TRAPDOOR = make_modulus(1024)
TASK, SOLVER = "ab" * 16, "cd" * 16


def test_the_stranger_imports_nothing_of_ours() -> None:
    imported = set()
    for node in ast.walk(ast.parse(SOURCE.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import leads to ours"
            imported.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("__import__", "exec", "eval")
    assert imported >= {"websockets", "msgpack", "cryptography"}
    assert not imported - ALLOWED
    assert "importlib" not in imported


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

    def __init__(self, server: Server, folder: Path, name: str) -> None:
        super().__init__(name, folder)
        self.server = server
        self.key_path = folder / f"{name}.raw-key"
        self.server_key = server.server_key

    @property
    def fingerprint(self) -> str:
        raw = self.key_path.read_bytes()
        return fingerprint_of(Ed25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw())

    def command(self) -> Sequence[str | Path]:
        return ["-P", SOURCE, self.server.url, self.key_path, self.server_key]

    async def start(self) -> None:
        self.launch()
        await self.event("heard", type="status_updated", seconds=START_SECONDS_MAX)


StartStranger = Callable[[Server], Awaitable[Stranger]]


@pytest.fixture
def start_stranger(processes: list[LoggingProcess], tmp_path: Path) -> StartStranger:
    async def start(server: Server) -> Stranger:
        process = Stranger(server, tmp_path, f"stranger-{len(processes)}")
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
