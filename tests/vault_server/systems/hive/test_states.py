"""The state tables on every pair, and what they promise as a whole."""

from __future__ import annotations

import itertools

import pytest

from protocol.hive_records import CLAIM_STATUSES, DELIVERABLE_STATUSES, TASK_STATUSES
from vault_server.core.states import ForbiddenTransition, Transitions
from vault_server.systems.hive.states import CLAIM, DELIVERABLE, TASK

EXPECTED = {
    TASK: {
        ("open", "accept_claim"): "claimed",
        ("open", "cancel"): "cancelled",
        ("claimed", "start"): "in_progress",
        ("claimed", "cancel"): "cancelled",
        ("claimed", "roll_back"): "open",
        ("claimed", "give_up"): "open",
        ("in_progress", "give_up"): "open",
        ("in_progress", "reclaim"): "open",
        ("in_progress", "deliver"): "delivered",
        ("delivered", "accept"): "completed",
        ("delivered", "request_revision"): "in_progress",
        ("delivered", "reject"): "disputed",
        ("delivered", "dispute"): "disputed",
        ("disputed", "find_for_agent"): "completed",
        ("disputed", "find_for_poster"): "cancelled",
    },
    CLAIM: {
        ("pending", "accept"): "accepted",
        ("pending", "reject"): "rejected",
        ("pending", "withdraw"): "withdrawn",
        ("accepted", "reject"): "rejected",
        ("accepted", "withdraw"): "withdrawn",
    },
    DELIVERABLE: {
        ("submitted", "accept"): "accepted",
        ("submitted", "reject"): "rejected",
        ("submitted", "request_revision"): "revision_requested",
        ("rejected", "accept"): "accepted",
    },
}

EVERY_PAIR = [
    pytest.param(machine, state, event, id=f"{machine.name}-{state}-{event}")
    for machine in EXPECTED
    for state, event in itertools.product(sorted(machine.states), sorted(machine.events))
]

OF_THE_SEED = {
    ("open", "claimed"),
    ("open", "cancelled"),
    ("claimed", "in_progress"),
    ("claimed", "cancelled"),
    ("in_progress", "delivered"),
    ("delivered", "completed"),
    ("delivered", "in_progress"),
    ("delivered", "disputed"),
    ("disputed", "completed"),
    ("disputed", "cancelled"),
}


@pytest.mark.parametrize(("machine", "state", "event"), EVERY_PAIR)
def test_a_pair_leads_where_the_table_says_or_nowhere(machine: Transitions, state: str, event: str) -> None:
    after = EXPECTED[machine].get((state, event))
    assert machine.allows(state, event) is (after is not None)
    if after is None:
        with pytest.raises(ForbiddenTransition):
            machine.after(state, event)
    else:
        assert machine.after(state, event) == after


@pytest.mark.parametrize(
    ("machine", "first", "states"),
    [
        pytest.param(TASK, "open", TASK_STATUSES, id="task"),
        pytest.param(CLAIM, "pending", CLAIM_STATUSES, id="claim"),
        pytest.param(DELIVERABLE, "submitted", DELIVERABLE_STATUSES, id="deliverable"),
    ],
)
def test_the_states_are_the_seeds(machine: Transitions, first: str, states: tuple[str, ...]) -> None:
    assert machine.first == first
    assert machine.states == set(states)


def test_a_task_moves_as_the_seed_says_and_back_to_open() -> None:
    steps = {(state, after) for (state, _), after in TASK.table.items()}
    assert steps - OF_THE_SEED == {("claimed", "open"), ("in_progress", "open")}
    assert steps >= OF_THE_SEED


def test_nothing_leaves_completed_or_cancelled() -> None:
    ends = {state for state in TASK.states if not any(TASK.allows(state, event) for event in TASK.events)}
    assert ends == {"completed", "cancelled"}
