"""Each kind of solver does what its name says: what it sends is looked at by the verifier itself."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Iterator

import pytest

from protocol.proof import BadProof, Proof, Statement, verify
from protocol.puzzle import Puzzle, square_repeatedly
from protocol.relay import EXPONENT_BYTES, Chain, Check
from tests.acceptance.puzzles import Maker
from tests.simulation import conduct
from tests.simulation.conduct import Assignment, Claim, HandBack, Honest, Shared
from tests.simulation.lies import ALONE, KINDS, TRUSTED_AFTER, Copying, Slow
from tests.simulation.shape import SQUARINGS_MIN, Shape, conducts
from tests.simulation.workshop import Checkpoint, Workshop
from vault_server.systems.vault.arithmetic import Claim as Judged
from vault_server.systems.vault.arithmetic import holds

SOLVER, OTHER, TASK = "ab" * 16, "cd" * 16, "ef" * 16
KINDS_THAT_CLAIM = ("garbage", "negating", "breaking", "colluding")
SECONDS = 0.5


@pytest.fixture(scope="module")
def puzzle() -> Puzzle:
    return Puzzle(SQUARINGS_MIN, 3, Maker().modulus)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    monkeypatch.setattr(conduct, "HANDED_BACK_SHARE", 0.0)
    workshop = Workshop()
    yield Shared(workshop, random.Random(2), 0.0, {})
    workshop.close()


def asked(puzzle: Puzzle, solver: str = SOLVER, *, wants_proof: bool = True) -> Assignment:
    deadline_ms = int(1000 * (time.time() + SECONDS))
    return Assignment(Statement(puzzle, TASK, solver), deadline_ms, wants_proof)


def right(puzzle: Puzzle) -> int:
    return square_repeatedly(puzzle.base, puzzle.squarings, puzzle.modulus)


def proved(claim: Claim, puzzle: Puzzle) -> int:
    """The answer that the claim's proof proves. Raises BadProof."""
    assert claim.proof is not None
    return verify(Statement(puzzle, TASK, SOLVER), Proof.decode(claim.proof, puzzle))


async def claimed(shared: Shared, kind: str, assignment: Assignment) -> Claim:
    return claim_of(await KINDS[kind](shared, 0).answer(assignment))


def claim_of(answered: Claim | HandBack | None) -> Claim:
    assert isinstance(answered, Claim)
    return answered


def checkpoint_of(answered: Claim | HandBack | None) -> Checkpoint:
    assert isinstance(answered, HandBack)
    return answered.checkpoint


def holds_as_checkpoint(checkpoint: Checkpoint, puzzle: Puzzle) -> bool:
    """As the server checks it."""
    chain = Chain.of(puzzle, checkpoint.depth, checkpoint.residues)
    check = Check(chain, secrets.token_bytes(EXPONENT_BYTES * len(chain.residues)))
    while (verdict := check.advance()) is None:
        pass
    return verdict


async def test_the_honest_are_right_and_can_prove_it(shared: Shared, puzzle: Puzzle) -> None:
    claim = claim_of(await Honest(shared).answer(asked(puzzle)))
    assert claim.answer == right(puzzle) == proved(claim, puzzle)
    assert shared.overheard == {TASK: claim}
    assert shared.workshop.squarings == {"honest": puzzle.squarings}


@pytest.mark.parametrize("kind", KINDS_THAT_CLAIM)
async def test_a_liars_proof_is_well_formed_and_does_not_prove_its_answer(
    shared: Shared, puzzle: Puzzle, kind: str
) -> None:
    claim = await claimed(shared, kind, asked(puzzle))
    assert claim.proof is not None
    Proof.decode(claim.proof, puzzle)  # well-formed
    assert not holds(Judged(Statement(puzzle, TASK, SOLVER), claim.proof, claim.answer))


async def test_the_answers_of_the_liars(shared: Shared, puzzle: Puzzle) -> None:
    y = right(puzzle)
    assert (await claimed(shared, "negating", asked(puzzle))).answer == puzzle.modulus - y
    assert (await claimed(shared, "breaking", asked(puzzle))).answer == y
    guess = await claimed(shared, "guessing", asked(puzzle))
    assert guess.answer != y
    assert guess.proof is None


@pytest.mark.parametrize("wants_proof", [True, False])
async def test_a_pair_agrees_and_two_pairs_do_not(shared: Shared, puzzle: Puzzle, wants_proof: bool) -> None:
    first, second, third = (KINDS["colluding"](shared, number) for number in range(3))
    claims = [await one.answer(asked(puzzle, wants_proof=wants_proof)) for one in (first, second, third)]
    answers = [claim_of(claim).answer for claim in claims]
    assert answers[0] == answers[1] != right(puzzle)
    assert answers[2] not in answers[:2]


async def test_a_copy_is_anothers_to_the_last_byte(shared: Shared, puzzle: Puzzle) -> None:
    copying = asyncio.create_task(Copying(shared).answer(asked(puzzle)))
    original = claim_of(await Honest(shared).answer(asked(puzzle, OTHER)))
    copied = claim_of(await copying)
    assert copied == original
    with pytest.raises(BadProof):
        proved(copied, puzzle)


async def test_a_copier_that_overhears_nothing_guesses_in_time(shared: Shared, puzzle: Puzzle) -> None:
    assignment = asked(puzzle)
    claim = claim_of(await Copying(shared).answer(assignment))
    assert claim.answer != right(puzzle)
    assert time.time() * 1000 < assignment.deadline_ms


async def test_the_slow_are_right_too_late_and_the_silent_say_nothing(shared: Shared, puzzle: Puzzle) -> None:
    assignment = asked(puzzle)
    claim = claim_of(await Slow(shared).answer(assignment))
    assert claim.answer == right(puzzle)
    assert time.time() * 1000 > assignment.deadline_ms
    assert await KINDS["silent"](shared, 0).answer(asked(puzzle)) is None


async def test_sleepers_are_honest_until_they_are_trusted(shared: Shared, puzzle: Puzzle) -> None:
    sleeper = KINDS["sleeping"](shared, 0)
    for _ in range(TRUSTED_AFTER):
        assert proved(claim_of(await sleeper.answer(asked(puzzle))), puzzle) == right(puzzle)
    answered = await sleeper.answer(asked(puzzle))
    if isinstance(answered, Claim) and answered.proof is not None and answered.answer == right(puzzle):
        with pytest.raises(BadProof):
            proved(answered, puzzle)


async def test_a_checkpoint_handed_back_by_the_honest_is_right_and_can_be_gone_on_from(
    shared: Shared, puzzle: Puzzle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conduct, "HANDED_BACK_SHARE", 1.0)
    checkpoint = checkpoint_of(await Honest(shared).answer(asked(puzzle)))
    assert holds_as_checkpoint(checkpoint, puzzle)
    monkeypatch.setattr(conduct, "HANDED_BACK_SHARE", 0.0)
    successor = asked(puzzle)
    successor.offered.append(checkpoint)
    assert proved(claim_of(await Honest(shared).answer(successor)), puzzle) == right(puzzle)
    assert shared.workshop.squarings["honest"] < 2 * puzzle.squarings


async def test_a_liars_checkpoint_is_wrong_whatever_way_it_was_crafted(shared: Shared, puzzle: Puzzle) -> None:
    relaying = KINDS["relaying"](shared, 0)
    for _ in range(12):
        assert not holds_as_checkpoint(checkpoint_of(await relaying.answer(asked(puzzle))), puzzle)


@pytest.mark.parametrize(("share", "liars"), [(0.0, 0), (0.3, 12), (0.6, 24), (0.95, 38), (1.0, 40)])
async def test_a_fleet_has_its_share_of_liars_and_colluders_have_each_other(
    shared: Shared, share: float, liars: int
) -> None:
    made = conducts(Shape(share), shared)
    kinds = [conduct.name for conduct in made]
    assert len(kinds) == 40
    assert len(kinds) - kinds.count("honest") == liars
    if liars > len(KINDS):
        assert set(kinds) >= {"honest", *KINDS} - ({"honest"} if share == 1 else set())
        assert {lie.name for lie in ALONE} < set(kinds)
        assert kinds.count("colluding") % 2 == 0 or kinds.count("colluding") > 2
