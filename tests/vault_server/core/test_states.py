"""Transition tables in general, and that the schema knows the same states as the vault's tables."""

from __future__ import annotations

import re

import pytest

from vault_server.core.states import ForbiddenTransition, Transitions
from vault_server.storage.schema import schema_text
from vault_server.systems.vault.states import ASSIGNMENT, TASK

DOOR = Transitions(
    "door", {("shut", "open"): "ajar", ("ajar", "slam"): "shut", ("ajar", "wall_up"): "gone"}, first="shut"
)


def states_in_schema(table: str) -> set[str]:
    """The words that the CHECK list of `status` in this table allows."""
    [body] = re.findall(rf"CREATE TABLE {table} \((.*?)\n\);", schema_text(), re.DOTALL)
    [words] = re.findall(r"NOT NULL CHECK \(status IN\s*\(([^)]*)\)", body)
    return set(re.findall(r"'(\w+)'", words))


def test_states_and_events_are_all_that_the_table_names() -> None:
    assert DOOR.states == {"shut", "ajar", "gone"}
    assert DOOR.events == {"open", "slam", "wall_up"}


def test_an_absent_pair_is_refused_by_name() -> None:
    with pytest.raises(ForbiddenTransition, match="door: nothing leads from 'gone' by 'open'") as caught:
        DOOR.after("gone", "open")
    assert (caught.value.machine, caught.value.state, caught.value.event) == ("door", "gone", "open")


@pytest.mark.parametrize(("state", "event"), [("gone", "open"), ("shut", "slam"), ("unknown", "open"), ("shut", "")])
def test_what_is_refused_is_not_allowed(state: str, event: str) -> None:
    assert not DOOR.allows(state, event)


def test_a_machine_does_not_change_with_the_table_it_was_made_from() -> None:
    table = {("shut", "open"): "ajar"}
    door = Transitions("door", table, first="shut")
    table["ajar", "open"] = "wide"
    assert not door.allows("ajar", "open")


@pytest.mark.parametrize(("table", "machine"), [("tasks", TASK), ("task_assignments", ASSIGNMENT)])
def test_the_schema_allows_exactly_the_states_of_the_machine(table: str, machine: Transitions) -> None:
    assert states_in_schema(table) == machine.states
