"""State machines as tables: (state, event) -> state. An absent pair is refused by whoever asked."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class ForbiddenTransition(Exception):
    """The table has no such pair. The caller's fault only if an operation turns it into a Refusal."""

    def __init__(self, machine: str, state: str, event: str) -> None:
        super().__init__(f"{machine}: nothing leads from {state!r} by {event!r}")
        self.machine = machine
        self.state = state
        self.event = event


class Transitions:
    """One machine. `states` lists every state, also those that no transition leaves."""

    def __init__(self, name: str, table: Mapping[tuple[str, str], str], *, first: str) -> None:
        self.name = name
        self.first = first
        self.table = MappingProxyType(dict(table))
        self.states = frozenset({first} | {state for state, _ in table} | set(table.values()))
        self.events = frozenset(event for _, event in table)

    def after(self, state: str, event: str) -> str:
        """The state that follows. Raises ForbiddenTransition."""
        try:
            return self.table[state, event]
        except KeyError:
            raise ForbiddenTransition(self.name, state, event) from None

    def allows(self, state: str, event: str) -> bool:
        """Whether the table has the pair."""
        return (state, event) in self.table
