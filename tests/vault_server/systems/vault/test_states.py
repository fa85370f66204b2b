"""Every (state, event) pair of the vault's machines, against a table of its own."""

from __future__ import annotations

from itertools import product

import pytest

from vault_server.core.states import ForbiddenTransition, Transitions
from vault_server.systems.vault.states import ASSIGNMENT, COMPLAINT, IN_HAND, OPEN, PROOF, RELAY, TASK

TASK_STATES = ("waiting", "assigned", "answered", "settled", "cancelled", "failed")
TASK_EVENTS = ("assign", "unassign", "answer", "cancel", "fail", "settle", "overturn")
# One row per state, one column per event; a dash refuses.
TASK_TABLE = """
            assign    unassign  answer    cancel     fail    settle   overturn
waiting     assigned  -         -         cancelled  failed  -        -
assigned    assigned  waiting   answered  cancelled  failed  -        -
answered    -         -         -         -          -       settled  failed
settled     -         -         -         -          -       -        -
cancelled   -         -         -         -          -       -        -
failed      -         -         -         -          -       -        -
"""

ASSIGNMENT_STATES = ("offered", "accepted", "delivered", "valid", "invalid", "unproved", "expired", "released")
ASSIGNMENT_EVENTS = ("accept", "deliver", "expire", "release", "confirm", "refute", "leave_unproved")
ASSIGNMENT_TABLE = """
            accept    deliver    expire   release   confirm  refute   leave_unproved
offered     accepted  delivered  expired  released  -        -        -
accepted    accepted  delivered  expired  released  -        -        -
delivered   -         -          -        -         valid    invalid  unproved
valid       -         -          -        -         -        invalid  -
invalid     -         -          -        -         -        -        -
unproved    -         -          -        -         valid    invalid  -
expired     -         -          -        -         -        -        -
released    -         -          -        -         valid    invalid  -
"""

COMPLAINT_STATES = ("open", "asked", "upheld", "rejected", "undecided")
COMPLAINT_EVENTS = ("ask", "reveal", "uphold", "reject", "leave")
COMPLAINT_TABLE = """
            ask    reveal  uphold  reject    leave
open        asked  -       upheld  rejected  -
asked       -      open    upheld  rejected  undecided
upheld      -      -       -       -         -
rejected    -      -       -       -         -
undecided   -      -       -       -         -
"""

PROOF_STATES = ("waiting", "holding", "failed")
PROOF_EVENTS = ("hold", "fail")
PROOF_TABLE = """
            hold     fail
waiting     holding  failed
holding     -        -
failed      -        -
"""

RELAY_STATES = ("open", "checking", "refuted")
RELAY_EVENTS = ("check", "hold", "refute")
RELAY_TABLE = """
            check     hold  refute
open        checking  -     -
checking    -         open  refuted
refuted     -         -     -
"""


def expected(table: str) -> dict[tuple[str, str], str | None]:
    header, *lines = table.strip().splitlines()
    events = header.split()
    rows = (line.split() for line in lines)
    return {
        (state, event): None if after == "-" else after
        for state, *row in rows
        for event, after in zip(events, row, strict=True)
    }


MACHINES = [
    pytest.param(TASK, TASK_STATES, TASK_EVENTS, expected(TASK_TABLE), id="task"),
    pytest.param(ASSIGNMENT, ASSIGNMENT_STATES, ASSIGNMENT_EVENTS, expected(ASSIGNMENT_TABLE), id="assignment"),
    pytest.param(PROOF, PROOF_STATES, PROOF_EVENTS, expected(PROOF_TABLE), id="proof"),
    pytest.param(RELAY, RELAY_STATES, RELAY_EVENTS, expected(RELAY_TABLE), id="relay"),
    pytest.param(COMPLAINT, COMPLAINT_STATES, COMPLAINT_EVENTS, expected(COMPLAINT_TABLE), id="complaint"),
]


@pytest.mark.parametrize(("machine", "states", "events", "table"), MACHINES)
def test_the_machine_has_these_states_and_events_and_no_others(
    machine: Transitions, states: tuple[str, ...], events: tuple[str, ...], table: dict[tuple[str, str], str | None]
) -> None:
    assert machine.states == set(states)
    assert machine.events == set(events)
    assert set(table) == set(product(states, events))


PAIRS = [
    pytest.param(machine, state, event, after, id=f"{machine.name}-{state}-{event}")
    for machine, table in (
        (TASK, expected(TASK_TABLE)),
        (ASSIGNMENT, expected(ASSIGNMENT_TABLE)),
        (PROOF, expected(PROOF_TABLE)),
        (RELAY, expected(RELAY_TABLE)),
        (COMPLAINT, expected(COMPLAINT_TABLE)),
    )
    for (state, event), after in table.items()
]


@pytest.mark.parametrize(("machine", "state", "event", "after"), PAIRS)
def test_every_pair_leads_where_the_table_says_or_is_refused(
    machine: Transitions, state: str, event: str, after: str | None
) -> None:
    assert machine.allows(state, event) == (after is not None)
    if after is None:
        with pytest.raises(ForbiddenTransition):
            machine.after(state, event)
    else:
        assert machine.after(state, event) == after


def test_everything_starts_open_and_can_end() -> None:
    assert TASK.first == "waiting"
    assert ASSIGNMENT.first == "offered"
    assert {state for state in TASK.states if TASK.allows(state, "cancel")} == OPEN
    assert {state for state in ASSIGNMENT.states if ASSIGNMENT.allows(state, "expire")} == IN_HAND
