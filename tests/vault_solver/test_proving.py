"""Proofs as a worker makes them: whatever goes wrong on the way, none is told that does not hold."""

from __future__ import annotations

import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from protocol.proof import Proof, Statement, verify
from protocol.prover import kept_indices
from protocol.puzzle import Puzzle, make_modulus
from tests.vault_solver.test_squaring import Flips
from vault_solver.blocks import CHECKED_MIN
from vault_solver.pipe import (
    Cancel,
    Dropped,
    Line,
    Miscomputed,
    Misproved,
    Proving,
    Solve,
    Solved,
    Squared,
    Suspend,
    Verified,
    read_line,
    write_line,
)
from vault_solver.plan import Plan, Planner
from vault_solver.proving import InPieces, last_sound
from vault_solver.solving import Solving
from vault_solver.squaring import REPEATS_MAX, gmp_square
from vault_solver.state import State

MODULUS, TRAPDOOR = make_modulus(512)
TASK, SOLVER = "ab" * 16, "cd" * 16
LONG = 200_000


def order(squarings: int = LONG, state: State | None = None, *, is_proved: bool = True) -> Solve:
    plan = Planner(SOLVER).plan(TASK, squarings, 512, is_proved=is_proved)
    return Solve(7, squarings, 3, MODULUS, state, plan)


class Run:
    """One order, and what was said on the way. `stop` is the answer to each question whether to stop."""

    def __init__(self, job: Solve, flips: Flips | None = None, check_seconds: float = 30.0) -> None:
        self.job, self.said = job, list[Line]()
        self.stop: Cancel | Suspend | None = None
        self.flips = flips or Flips(lambda _: False)
        self._check_seconds = check_seconds

    def run(self) -> Line:
        return Solving(self.job, self.say, lambda _: self.stop, self.flips, self._check_seconds).run()

    def say(self, line: Line) -> None:
        assert read_line(write_line(line)) == line, "what is said arrives"
        self.said.append(line)

    @property
    def kinds(self) -> list[str]:
        return [type(line).__name__ for line in self.said]


def holds(job: Solve, last: Line) -> bool:
    assert isinstance(last, Solved)
    assert last.answer == TRAPDOOR.power(3, job.squarings)
    puzzle = Puzzle(job.squarings, 3, MODULUS)
    return verify(Statement(puzzle, TASK, SOLVER), Proof.decode(last.proof, puzzle)) == last.answer


def end(squarings: int, depth: int) -> State:
    kept = tuple((mark, TRAPDOOR.power(3, mark)) for mark in kept_indices(squarings, depth))
    return State(squarings, TRAPDOOR.power(3, squarings), kept)


# the plain course


@pytest.mark.parametrize("squarings", [65, 66, 1_087, 1_088, 50_001, CHECKED_MIN - 1, CHECKED_MIN, LONG])
def test_the_answer_comes_with_a_proof_that_holds(squarings: int) -> None:
    run = Run(order(squarings))
    assert holds(run.job, run.run())
    assert run.kinds == (["Squared"] if squarings >= CHECKED_MIN else []), "what is long can be gone on with"


def test_no_check_comes_before_a_proof_and_one_comes_where_there_is_none() -> None:
    proved, unproved = Run(order()), Run(order(is_proved=False))
    assert holds(proved.job, proved.run())
    assert unproved.run() == Solved(7, TRAPDOOR.power(3, LONG))
    [squared] = unproved.said
    assert isinstance(squared, Squared)
    assert squared.state == end(LONG, len(squared.state.kept).bit_length() - 1), "it could still be proved"
    assert unproved.flips.squarings > LONG, "it was checked"
    assert proved.said == [squared]


def test_what_is_squared_already_is_only_proved() -> None:
    run = Run(order(state=end(LONG, 5)))
    assert holds(run.job, run.run())
    assert run.flips.squarings <= LONG >> 5
    assert run.said == []


def test_a_state_in_the_middle_is_gone_on_with() -> None:
    whole = end(LONG, 5)
    half = State(*whole.kept[15], whole.kept[:16])
    run = Run(order(state=half))
    assert holds(run.job, run.run())
    assert run.flips.squarings < LONG * 0.6


def test_less_was_kept_than_is_planned_and_the_proof_only_takes_longer() -> None:
    run = Run(order(state=end(LONG, 2)))
    assert holds(run.job, run.run())
    assert LONG / 5 < run.flips.squarings < LONG / 3


# errors


@given(call=st.integers(1, 60), bit=st.integers(0, 500))
def test_a_bit_that_flips_anywhere_makes_no_wrong_proof(call: int, bit: int) -> None:
    run = Run(order(50_000), Flips(lambda number: number == call, bit))
    assert holds(run.job, run.run())
    assert run.kinds in ([], ["Misproved", "Verified"])


def test_an_error_near_the_end_costs_what_follows_it_alone() -> None:
    clean = Run(order())
    clean.run()
    calls = clean.flips.calls
    run = Run(order(), Flips(lambda number: number == calls * 3 // 4))
    assert holds(run.job, run.run())
    assert run.kinds == ["Squared", "Misproved", "Verified", "Squared"]
    sound = next(line.state for line in run.said if isinstance(line, Verified))
    assert LONG / 2 < sound.done < LONG
    assert run.flips.squarings < LONG * 1.7


@pytest.mark.parametrize("place", [0, 10, 31], ids=["first", "middle", "z"])
def test_memory_that_forgets_a_bit_of_a_kept_residue_is_noticed(place: int) -> None:
    whole = end(LONG, 5)
    kept = list(whole.kept)
    kept[place] = kept[place][0], kept[place][1] ^ 2
    run = Run(order(state=State(LONG, whole.value, tuple(kept))))
    assert holds(run.job, run.run())
    assert run.kinds == ["Misproved", "Verified", "Squared"]
    sound = next(line.state for line in run.said if isinstance(line, Verified))
    assert sound.kept == whole.kept[:place]


def test_residues_that_somebody_made_up_are_not_trusted_for_ever() -> None:
    """Two errors that cancel pass the check that looks for the last sound residue; in the end all is done anew."""
    whole = end(LONG, 5)
    kept = list(whole.kept)
    for place, factor in ((3, 2), (9, pow(2, -1, MODULUS))):
        kept[place] = kept[place][0], kept[place][1] * factor % MODULUS
    run = Run(order(state=State(LONG, whole.value, tuple(kept))))
    assert holds(run.job, run.run())
    assert run.kinds == ["Misproved", "Verified", "Squared", "Misproved", "Verified", "Squared"]
    assert LONG < run.flips.squarings < LONG * 1.5


def test_an_answer_on_disk_that_is_not_what_its_residues_give_is_not_sent() -> None:
    whole = end(LONG, 5)
    run = Run(order(state=State(LONG, whole.value ^ 4, whole.kept)))
    assert holds(run.job, run.run())


def test_a_machine_that_goes_on_erring_is_given_up_and_nothing_is_proved() -> None:
    run = Run(order(50_000), Flips(lambda number: number % 2 == 0))
    assert run.run() == Miscomputed(7)
    assert run.kinds.count("Misproved") == REPEATS_MAX + 1


def test_a_base_that_shares_a_factor_is_given_up() -> None:
    plan = Plan(TASK, SOLVER, 0, True)
    run = Run(Solve(7, 100, TRAPDOOR.p, MODULUS, None, plan))
    assert run.run() == Miscomputed(7)


@given(count=st.integers(0, 12), wrong=st.integers(0, 12))
def test_the_last_sound_residue_is_the_one_before_the_first_wrong_one(count: int, wrong: int) -> None:
    kept = [(100 * (place + 1), TRAPDOOR.power(3, 100 * (place + 1))) for place in range(count)]
    if wrong < count:
        kept[wrong] = kept[wrong][0], kept[wrong][1] ^ 8
    sound = last_sound(3, MODULUS, kept, gmp_square)
    good = min(wrong, count)
    assert sound == (State(100 * good, kept[good - 1][1], tuple(kept[:good])) if good else State(0, 3))


# stopping


@pytest.mark.parametrize("stop", [Cancel(7), Suspend(7)])
def test_a_proof_stops_within_a_piece(stop: Cancel | Suspend) -> None:
    squarings = 10**10
    run = Run(Solve(7, squarings, 3, MODULUS, end(squarings, 2), Plan(TASK, SOLVER, 2, True)))
    run.stop = stop
    assert run.run() == Dropped(7)
    assert run.flips.calls == 1
    assert run.flips.squarings <= 10**6


def test_a_proof_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault_solver.solving.PROGRESS_SECONDS", 0.0)
    squarings = 8_000_000
    run = Run(Solve(7, squarings, 3, MODULUS, end(squarings, 1), Plan(TASK, SOLVER, 1, True)))
    assert holds(run.job, run.run())
    shares = [line.done / line.total for line in run.said if isinstance(line, Proving)]
    assert shares == sorted(shares)
    assert len(shares) > 3
    assert 0 < shares[0] < 0.5
    assert 0.99 < shares[-1] <= 1


@given(st.integers(0, 5_000_000))
def test_pieces_add_up(squarings: int) -> None:
    pieces: list[int] = []
    InPieces(lambda value, count, _: value + count, pieces.append)(mpz(0), squarings, mpz(MODULUS))
    assert sum(pieces) == squarings
    assert all(0 < piece <= 10**6 for piece in pieces)


def test_nothing_that_is_shown_tells_of_a_puzzle() -> None:
    shown = repr([order(), Solved(7, 12345, b"12345"), Verified(7, State(5, 12345)), Misproved(7)])
    for secret in ("12345", str(LONG), str(MODULUS), "5)"):
        assert secret not in shown
