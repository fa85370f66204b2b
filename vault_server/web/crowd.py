"""Connections of each address to the HTTP port, counted from the moment that they are accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

TURNED_AWAY_MAX = 16
"""Connections of one address that wait to be told that they are too many; more are hung up on at once."""

Owner = Callable[[str], str | None]
"""owner(address): as whose a connection is counted; None: not at all, since it carries many people's requests."""


def nobody(_address: str) -> str | None:
    """Where connections are not counted."""
    return None


class Crowd:
    """At most `connections_max` of each owner."""

    def __init__(self, connections_max: int, owner: Owner = nobody) -> None:
        self._max = connections_max
        self._owner = owner
        self._open: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, address: str) -> int:
        """One more has come: by how many it is too many, 0 when it is welcome."""
        owner = self._owner(address)
        if owner is None:
            return 0
        self._open[owner] += 1
        return max(0, self._open[owner] - self._max)

    def leave(self, address: str) -> None:
        """One that had entered is gone."""
        owner = self._owner(address)
        if owner is None:
            return
        self._open[owner] -= 1
        if not self._open[owner]:
            del self._open[owner]
