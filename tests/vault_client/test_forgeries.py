"""What a lying server can say of an answer, and that the client believes none of it."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.identity import Identity
from protocol.proof import Proof, Statement, verify
from protocol.puzzle import Puzzle, Ticket, commit, make_locked
from protocol.vault import PuzzleAnswered, SubmitPuzzle
from tests.vault_client.conftest import Client
from tests.vault_client.lying_server import (
    OTHER_SOLVER,
    OTHER_TASK,
    SOLVER,
    LyingServer,
    altered,
    honest_proof,
    lying_server,
    proof_of,
    proved,
    puzzle_of,
    right_answer,
    with_answer,
)
from vault_client import AnswerRejected, Order, TaskAnswered, TaskConfused, Vault, connect
from vault_client.answers import COMPUTED_SQUARINGS_MAX
from vault_client.locked_file import lock_file
from vault_client.resume import resume_path
from vault_client.tickets import write_ticket

SQUARINGS = 5_000
WRONG = 12_345

Forgery = Callable[[Puzzle, str], PuzzleAnswered]


@pytest.fixture(scope="module")
def made() -> tuple[Puzzle, int, Ticket]:
    return make_locked(SQUARINGS, 512)


def of_another_puzzle(puzzle: Puzzle, task: str, **changes: int) -> PuzzleAnswered:
    """Right for another puzzle, its proof included."""
    asked = {"squarings": puzzle.squarings, "base": puzzle.base, "modulus": puzzle.modulus}
    return proved(Puzzle(**(asked | changes)), task)


def negated(puzzle: Puzzle, task: str) -> PuzzleAnswered:
    return with_answer(proved(puzzle, task), puzzle.modulus - right_answer(puzzle))


def with_changed_midpoint(puzzle: Puzzle, task: str) -> PuzzleAnswered:
    proof = honest_proof(puzzle, task)
    forged = replace(proof, midpoints=(*proof.midpoints[:-1], 1))
    return replace(proved(puzzle, task), proof=forged.encode(puzzle.modulus))


def with_negated_z(puzzle: Puzzle, task: str) -> PuzzleAnswered:
    proof = honest_proof(puzzle, task)
    return replace(
        proved(puzzle, task), proof=replace(proof, z=puzzle.modulus - proof.z).encode(puzzle.modulus), answer=WRONG
    )


FORGERIES: dict[str, tuple[Forgery, str]] = {
    "a wrong answer without a proof": (
        lambda puzzle, task: PuzzleAnswered(task=task, answer=WRONG, judged_by="proof"),
        "sends no proof",
    ),
    "the right answer without a proof": (
        lambda puzzle, task: replace(proved(puzzle, task), proof=None, solver=None),
        "sends no proof",
    ),
    "a proof that names nobody": (lambda puzzle, task: replace(proved(puzzle, task), solver=None), "sends no proof"),
    "a wrong answer with the right one's proof": (
        lambda puzzle, task: with_answer(proved(puzzle, task), WRONG),
        "is one of another answer",
    ),
    "-y with y's proof": (negated, "is one of another answer"),
    "-z for z": (with_negated_z, "z is not in"),
    "another task's proof": (
        lambda puzzle, task: replace(proved(puzzle, task), proof=proof_of(puzzle, OTHER_TASK)),
        "does not hold",
    ),
    "another solver's proof": (
        lambda puzzle, task: replace(proved(puzzle, task), proof=proof_of(puzzle, task, OTHER_SOLVER)),
        "does not hold",
    ),
    "a right proof that names another solver": (
        lambda puzzle, task: replace(proved(puzzle, task), solver=OTHER_SOLVER),
        "does not hold",
    ),
    "another t": (lambda puzzle, task: of_another_puzzle(puzzle, task, squarings=SQUARINGS + 1), "does not hold"),
    "another t with fewer rounds": (
        lambda puzzle, task: of_another_puzzle(puzzle, task, squarings=500),
        "the length that t and product ask for",
    ),
    "another base": (lambda puzzle, task: of_another_puzzle(puzzle, task, base=3), "does not hold"),
    "a flipped bit in z": (
        lambda puzzle, task: replace(proved(puzzle, task), proof=altered(proof_of(puzzle, task), 40)),
        "does not hold",
    ),
    "a flipped bit in a midpoint": (
        lambda puzzle, task: replace(proved(puzzle, task), proof=altered(proof_of(puzzle, task), -1)),
        "does not hold",
    ),
    "a midpoint of 1": (with_changed_midpoint, "does not hold"),
    "another version": (
        lambda puzzle, task: replace(proved(puzzle, task), proof=altered(proof_of(puzzle, task), 0)),
        "version 1",
    ),
    "a byte too many": (
        lambda puzzle, task: replace(proved(puzzle, task), proof=proof_of(puzzle, task) + b"\0"),
        "the length that t and product ask for",
    ),
    "a byte too few": (
        lambda puzzle, task: replace(proved(puzzle, task), proof=proof_of(puzzle, task)[:-1]),
        "the length that t and product ask for",
    ),
    "an answer that is no residue": (
        lambda puzzle, task: with_answer(proved(puzzle, task), right_answer(puzzle) + puzzle.modulus),
        "not in 1..product-1",
    ),
    "0": (lambda puzzle, task: with_answer(proved(puzzle, task), 0), "not in 1..product-1"),
    "agreement where a proof was required": (
        lambda puzzle, task: PuzzleAnswered(task=task, answer=right_answer(puzzle), judged_by="agreed"),
        "two solvers agreed, which proves nothing",
    ),
    "agreement with a proof beside it": (
        lambda puzzle, task: replace(proved(puzzle, task), judged_by="agreed"),
        "two solvers agreed, which proves nothing",
    ),
    "computed, and wrong": (
        lambda puzzle, task: PuzzleAnswered(task=task, answer=WRONG, judged_by="computed"),
        "this machine has computed it again",
    ),
    "a commitment that nobody gave": (
        lambda puzzle, task: PuzzleAnswered(task=task, answer=WRONG, judged_by="commitment"),
        "none was given",
    ),
}


async def ask(vault: Vault, puzzle: Puzzle, **more: object) -> object:
    task = await vault.submit(t=puzzle.squarings, baseg=puzzle.base, product=puzzle.modulus, **more)  # type: ignore[arg-type]
    return await asyncio.wait_for(task.answer(), 10)


def lie(forgery: Forgery) -> Callable[[SubmitPuzzle, str], PuzzleAnswered]:
    return lambda order, task: forgery(puzzle_of(order), task)


async def test_what_is_right_is_believed(made: tuple[Puzzle, int, Ticket]) -> None:
    puzzle, y, _ = made
    async with lying_server(lie(proved)) as server, connect(server.url) as vault:
        task = await vault.submit(t=puzzle.squarings, baseg=puzzle.base, product=puzzle.modulus)
        answer = await task.answer()
        assert (answer.y, answer.judged_by, answer.is_checked, answer.solver) == (y, "proof", True, SOLVER)
        assert answer.check_seconds > 0
        again = (await vault.status(task.id)).answer
        assert again is not None
        assert replace(again, check_seconds=answer.check_seconds) == answer


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forgery_is_rejected_wherever_it_is_met(name: str, made: tuple[Puzzle, int, Ticket]) -> None:
    forgery, reason = FORGERIES[name]
    puzzle = made[0]
    async with lying_server(lie(forgery)) as server, connect(server.url) as vault:
        task = await vault.submit(t=puzzle.squarings, baseg=puzzle.base, product=puzzle.modulus)
        for _ in range(2):
            with pytest.raises(AnswerRejected, match=reason) as caught:
                await asyncio.wait_for(task.answer(), 10)
        assert caught.value.task == server.task
        assert caught.value.suggestion
        assert str(right_answer(puzzle)) not in str(caught.value)
        with pytest.raises(AnswerRejected, match=reason):
            await vault.status(task.id)
        async with connect(server.url) as elsewhere:  # which is told what was asked for
            with pytest.raises(AnswerRejected, match=reason):
                await asyncio.wait_for(elsewhere.task(server.task, Order(puzzle)).answer(), 10)


async def test_the_event_loop_is_left_alone(made: tuple[Puzzle, int, Ticket], monkeypatch: pytest.MonkeyPatch) -> None:
    checked_in: list[threading.Thread] = []

    def watched(statement: Statement, proof: Proof) -> int:
        checked_in.append(threading.current_thread())
        return verify(statement, proof)

    monkeypatch.setattr("vault_client.answers.verify", watched)
    async with lying_server(lie(proved)) as server, connect(server.url) as vault:
        task = await vault.submit(t=SQUARINGS, baseg=made[0].base, product=made[0].modulus)
        await asyncio.gather(*(task.answer() for _ in range(3)))
    assert len(checked_in) == 1, "once, whoever waits"
    assert checked_in[0] is not threading.main_thread()


async def test_two_that_agree_are_believed_only_by_who_asked_for_that(made: tuple[Puzzle, int, Ticket]) -> None:
    puzzle = made[0]

    def agreed(_puzzle: Puzzle, task: str) -> PuzzleAnswered:
        return PuzzleAnswered(task=task, answer=WRONG, judged_by="agreed")

    async with lying_server(lie(agreed)) as server, connect(server.url) as vault:
        task = await vault.submit(t=puzzle.squarings, baseg=puzzle.base, product=puzzle.modulus, proof="none")
        answer = await task.answer()
        assert (answer.y, answer.is_checked) == (WRONG, False)
    async with lying_server(lie(agreed)) as server, connect(server.url) as vault:
        with pytest.raises(AnswerRejected, match="does not match the commitment"):
            await ask(vault, puzzle, proof="none", commitment=commit(made[1], puzzle.modulus))


async def test_what_was_asked_for_is_remembered_when_nobody_holds_the_task(made: tuple[Puzzle, int, Ticket]) -> None:
    puzzle = made[0]
    async with lying_server(lie(proved)) as server, connect(server.url) as vault:
        await vault.submit(t=puzzle.squarings, baseg=puzzle.base, product=puzzle.modulus)
        gc.collect()
        assert vault._registry.held(server.task) is None
        answer = (await vault.status(server.task)).answer
        assert answer is not None
        assert answer.is_checked
        with pytest.raises(TaskConfused):
            await vault.submit(t=puzzle.squarings, baseg=3, product=puzzle.modulus)


async def test_a_commitment_is_compared_here(made: tuple[Puzzle, int, Ticket]) -> None:
    puzzle, y, _ = made

    def committed(y: int) -> Forgery:
        return lambda _puzzle, task: PuzzleAnswered(task=task, answer=y, judged_by="commitment")

    async with lying_server(lie(committed(y))) as server, connect(server.url) as vault:
        await ask(vault, puzzle, commitment=commit(y, puzzle.modulus))
    async with lying_server(lie(committed(WRONG))) as server, connect(server.url) as vault:
        with pytest.raises(AnswerRejected, match="does not match the commitment"):
            await ask(vault, puzzle, commitment=commit(y, puzzle.modulus))


@pytest.mark.parametrize("more", [0, 1])
async def test_no_server_computes_more_than_servers_can_be_set_to(more: int, made: tuple[Puzzle, int, Ticket]) -> None:
    puzzle = replace(made[0], squarings=COMPUTED_SQUARINGS_MAX + more)

    def computed(puzzle: Puzzle, task: str) -> PuzzleAnswered:
        return PuzzleAnswered(task=task, answer=right_answer(puzzle), judged_by="computed")

    async with lying_server(lie(computed)) as server, connect(server.url) as vault:
        if more == 0:
            await ask(vault, puzzle)
        else:
            with pytest.raises(AnswerRejected, match="65,536"):
                await ask(vault, puzzle)


@pytest.mark.parametrize(
    ("product", "base", "code"),
    [
        (2**607 - 1, 3, "PRODUCT_PRIME"),
        (3 * (2**607 - 1), 5, "PRODUCT_SMALL_FACTOR"),
        ((2**127 - 1) ** 5, 5, "PRODUCT_PERFECT_POWER"),
    ],
    ids=["a prime", "a small factor", "a power"],
)
async def test_not_even_an_honest_proof_is_believed_where_forging_is_easy(product: int, base: int, code: str) -> None:
    async with lying_server(lie(proved)) as server, connect(server.url) as vault:
        with pytest.raises(AnswerRejected, match=code):
            await ask(vault, Puzzle(SQUARINGS, base, product))


@pytest.mark.parametrize(
    ("product", "base"),
    [(2**512 + 1, 1), (2**512 + 1, 2**512 + 3), (0, 3), (1, 0), (2, 3)],
    ids=["base 1", "a base above product", "product 0", "product 1", "product 2"],
)
async def test_a_puzzle_that_is_none_ends_in_a_rejection_and_in_nothing_else(product: int, base: int) -> None:
    def forged(puzzle: Puzzle, task: str) -> PuzzleAnswered:
        return PuzzleAnswered(task=task, answer=1, judged_by="proof", proof=b"\1" * 300, solver=SOLVER)

    async with lying_server(lie(forged)) as server, connect(server.url) as vault:
        with pytest.raises(AnswerRejected):
            await ask(vault, Puzzle(SQUARINGS, base, product))


async def test_one_task_cannot_stand_for_two_puzzles(made: tuple[Puzzle, int, Ticket]) -> None:
    puzzle = made[0]
    async with lying_server(lie(proved)) as server, connect(server.url) as vault:
        first = await vault.submit(t=puzzle.squarings, baseg=puzzle.base, product=puzzle.modulus)
        with pytest.raises(TaskConfused):
            await vault.submit(t=puzzle.squarings, baseg=3, product=puzzle.modulus)
        assert (await first.answer()).is_checked
        with pytest.raises(TaskConfused):
            vault.task(first.id, Order(Puzzle(1, 3, puzzle.modulus)))


async def test_events_and_unknown_puzzles_never_pass_for_checked(made: tuple[Puzzle, int, Ticket]) -> None:
    puzzle = made[0]
    forgery = FORGERIES["a wrong answer without a proof"][0]
    async with lying_server(lie(forgery)) as server, connect(server.url) as vault:
        heard = asyncio.create_task(anext(vault.events()))
        task = await vault.submit(t=puzzle.squarings, baseg=puzzle.base, product=puzzle.modulus)
        assert await asyncio.wait_for(heard, 10) == TaskAnswered(task.id, "proof")
        async with connect(server.url) as elsewhere:
            found = elsewhere.task(server.task)
            unknown = await found.answer()
            assert (unknown.y, unknown.is_checked) == (WRONG, False)
            found.expect(Order(puzzle))
            with pytest.raises(AnswerRejected):
                await found.answer()


# the commands


class Dupe(Client):
    """`vault-client` at a lying server."""

    def __init__(self, folder: Path, server: LyingServer) -> None:
        self.folder = folder
        self.lying = server
        self.key = folder / "client.key"
        self.key.touch(mode=0o600)
        self.key.write_bytes(Identity.generate().to_pem())
        self._started = []

    def options(self) -> list[str]:
        key = self.lying.identity.public_key.hex()
        return ["--server", self.lying.url, "--key", str(self.key), "--server-key", key]


@pytest.mark.parametrize(
    ("name", "with_ticket"),
    [("a wrong answer with the right one's proof", True), ("agreement where a proof was required", False)],
)
async def test_nothing_is_decrypted_and_the_exit_code_is_its_own(
    name: str, with_ticket: bool, made: tuple[Puzzle, int, Ticket], tmp_path: Path
) -> None:
    forgery, reason = FORGERIES[name]
    (tmp_path / "letter.txt").write_bytes(b"not yet")
    header = lock_file(tmp_path / "letter.txt", tmp_path / "letter.txt.locked", made[0], made[1])
    if with_ticket:
        write_ticket(tmp_path / "letter.txt.ticket", header, made[2])
    async with lying_server(lie(forgery)) as server:
        dupe = Dupe(tmp_path, server)
        try:
            process = dupe.start("unlock", "letter.txt.locked", "--out", "opened.txt")
            out, errors = await dupe.end(process, code=5)
        finally:
            dupe.kill_all()
    assert out == ""
    assert reason in errors
    assert "lies or is broken" in errors
    assert not (tmp_path / "opened.txt").exists()
    assert not resume_path(tmp_path / "letter.txt.locked").exists()
    assert (server.orders[0].baseg == made[0].base) != with_ticket


async def test_no_rejected_answer_is_printed(made: tuple[Puzzle, int, Ticket], tmp_path: Path) -> None:
    puzzle = made[0]
    async with lying_server(lie(FORGERIES["-y with y's proof"][0])) as server:
        dupe = Dupe(tmp_path, server)
        try:
            numbers = ["--t", SQUARINGS, "--baseg", puzzle.base, "--product", puzzle.modulus]
            out, errors = await dupe.end(dupe.start("submit", *numbers, "--json"), code=5)
        finally:
            dupe.kill_all()
    assert out == ""
    error = json.loads(errors.splitlines()[-1])
    assert (error["code"], error["retryable"]) == ("ANSWER_REJECTED", False)
    for number in (right_answer(puzzle), puzzle.modulus - right_answer(puzzle)):
        assert f"{number:x}" not in errors
