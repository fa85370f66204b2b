"""How a puzzle is to be proved: the cheapest depth that memory allows, and what a state is still worth for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.proof import rounds
from protocol.prover import KEPT_BYTES_MAX, kept_indices
from vault_solver.blocks import CHECKED_MIN
from vault_solver.plan import (
    Plan,
    Planner,
    best_depth,
    is_worth,
    overhead,
    proof_squarings,
    seconds_for,
    squarings_left,
    usable_depth,
)
from vault_solver.state import State

TASK, SOLVER = "ab" * 16, "cd" * 16
T = 1_000_000
PLAN = Plan(TASK, SOLVER, 6, True)


def state(done: int, depth: int, *, squarings: int = T) -> State:
    return State(done, 5, tuple((mark, 7) for mark in kept_indices(squarings, depth) if mark <= done))


@pytest.mark.parametrize(("squarings", "depth"), [(65, 0), (10**6, 6), (10**7, 7), (3 * 10**7, 8), (10**9, 11)])
def test_the_depth_that_the_table_names(squarings: int, depth: int) -> None:
    assert best_depth(squarings, 2048, KEPT_BYTES_MAX) == depth


@pytest.mark.parametrize(("squarings", "most"), [(10**6, 0.047), (10**7, 0.018), (3 * 10**7, 0.0146), (10**9, 0.01)])
def test_what_everything_adds_by_count(squarings: int, most: float) -> None:
    depth = best_depth(squarings, 2048, KEPT_BYTES_MAX)
    assert overhead(squarings, 2048, depth) / squarings <= most


def test_no_more_is_kept_than_there_is_memory_for() -> None:
    for depth in range(7):
        assert best_depth(10**6, 2048, 256 << depth) == depth
        assert best_depth(10**6, 2048, (256 << depth) - 1) == max(0, depth - 1)
    assert best_depth(10**6, 2048, 1) == 0
    assert best_depth(10**6, 2048, 2**40) == 6


def test_it_is_said_when_there_is_too_little_memory() -> None:
    assert Planner(SOLVER, (256 << 6) - 1).is_short(T, 2048)
    assert not Planner(SOLVER, 256 << 6).is_short(T, 2048)


@pytest.mark.parametrize(
    ("squarings", "is_proved", "is_planned"),
    [(64, True, False), (65, True, True), (CHECKED_MIN - 1, False, False), (CHECKED_MIN, False, True)],
)
def test_what_is_never_proved_has_no_plan(squarings: int, is_proved: bool, is_planned: bool) -> None:
    plan = Planner(SOLVER).plan(TASK, squarings, 512, is_proved=is_proved)
    assert (plan is not None) == is_planned
    assert plan is None or (plan.task, plan.solver, plan.is_proved) == (TASK, SOLVER, is_proved)


@given(done=st.integers(0, T - 64), had=st.integers(0, 10), wanted=st.integers(0, 10))
def test_a_state_serves_every_plan_up_to_its_own(done: int, had: int, wanted: int) -> None:
    usable = usable_depth(T, wanted, state(done, had))
    assert usable is not None
    assert usable >= min(had, wanted)


def test_a_state_without_residues_serves_as_far_as_it_has_passed_none() -> None:
    first = kept_indices(T, 6)[0]
    assert usable_depth(T, 6, State(first - 1, 5)) == 6
    assert usable_depth(T, 6, State(first, 5)) == 5
    assert usable_depth(T, 6, State(T // 2, 5)) == 0
    assert usable_depth(T, 6, State(T - 64, 5)) is None, "z itself is missing"


@pytest.mark.parametrize(
    ("found", "worth"),
    [
        (state(T // 2, 6), True),
        (state(T, 6), True),
        (state(T // 2, 3), True),
        (State(T // 2, 5), False),
        (State(T, 5), False),
        (State(T // 100, 5), True),
        (State(T, 5, (), b"proof"), True),
    ],
    ids=["all", "at the end", "fewer", "none", "none at the end", "none needed yet", "proved"],
)
def test_a_state_is_gone_on_with_when_that_is_quicker(found: State, worth: bool) -> None:
    assert is_worth(T, PLAN, found) == worth
    assert is_worth(T, None, found) == is_worth(T, Plan(TASK, SOLVER, 6, False), found) == (found.done > 0)


def test_what_is_left_counts_the_proof_and_becomes_seconds_of_the_size_above() -> None:
    assert squarings_left(T, PLAN, state(T - 1000, 6)) == 1000 + proof_squarings(T, 6)
    assert squarings_left(T, None, State(1000, 5)) == T - 1000
    assert seconds_for(1000, 512, {"512": 100, "1024": 10}) == 10
    assert seconds_for(1000, 513, {"512": 100, "1024": 10}) == 100


def test_every_depth_is_one_that_the_prover_takes() -> None:
    for squarings in (65, 1_087, 1_088, 5_000, 10**5, 10**12):
        assert 0 <= best_depth(squarings, 512, KEPT_BYTES_MAX) <= rounds(squarings)
