"""The state tables on every pair, and what they promise as a whole."""

from __future__ import annotations

import itertools

import pytest

from protocol.subnet import TASK_STATUSES
from vault_server.core.states import ForbiddenTransition, Transitions
from vault_server.systems.subnet.states import LINK, OPEN, TASK

EXPECTED = {
    TASK: {
        ("assigned", "submit"): "submitted",
        ("assigned", "expire"): "expired",
        ("assigned", "cancel"): "cancelled",
        ("submitted", "settle"): "scored",
    },
    LINK: {
        ("active", "revoke"): "revoked",
        ("revoked", "link"): "active",
    },
}

EVERY_PAIR = [
    pytest.param(machine, state, event, id=f"{machine.name}-{state}-{event}")
    for machine in EXPECTED
    for state, event in itertools.product(sorted(machine.states), sorted(machine.events))
]


@pytest.mark.parametrize(("machine", "state", "event"), EVERY_PAIR)
def test_a_pair_leads_where_the_table_says_or_nowhere(machine: Transitions, state: str, event: str) -> None:
    after = EXPECTED[machine].get((state, event))
    assert machine.allows(state, event) is (after is not None)
    if after is None:
        with pytest.raises(ForbiddenTransition):
            machine.after(state, event)
    else:
        assert machine.after(state, event) == after


def test_a_task_begins_assigned_and_ends_in_one_of_three_ways() -> None:
    assert TASK.first == "assigned"
    assert TASK.states == set(TASK_STATUSES)
    ends = {state for state in TASK.states if not any(TASK.allows(state, event) for event in TASK.events)}
    assert ends == {"scored", "expired", "cancelled"}
    assert TASK.states - ends == OPEN
