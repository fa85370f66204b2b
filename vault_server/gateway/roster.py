"""Who is connected: connections by key and endpoint. Knows nothing of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from protocol.envelope import Message
from protocol.errors import Close, MessageError
from vault_server.core.operation import Caller, Endpoint


class Connected(Protocol):
    """A connection, as the roster sees it."""

    def signal(self, message: Message) -> None:
        """Send what need not arrive."""

    def close(self, code: int, reason: str) -> None:
        """End the conversation."""

    def banish(self, refusal: MessageError) -> None:
        """End it because the key is banned."""


class Roster:
    """Connections whose key is proved."""

    def __init__(self) -> None:
        self._present: dict[tuple[str, Endpoint], list[Connected]] = {}

    def count(self, caller: Caller) -> int:
        """Connections of this key on this endpoint."""
        return len(self._present.get((caller.subject, caller.endpoint), ()))

    def add(self, caller: Caller, connection: Connected, *, exclusive: bool) -> None:
        """Enter a connection; `exclusive` closes the key's earlier ones here."""
        present = self._present.setdefault((caller.subject, caller.endpoint), [])
        earlier = tuple(present) if exclusive else ()
        if exclusive:
            present.clear()
        present.append(connection)
        for replaced in earlier:  # struck off already: their leaving is not the key's
            replaced.close(Close.REPLACED, "the same key has connected again")

    def remove(self, caller: Caller, connection: Connected) -> bool:
        """Strike a connection off; whether its key is now gone from this endpoint."""
        key = (caller.subject, caller.endpoint)
        present = self._present.get(key, [])
        if connection not in present:
            return False
        present.remove(connection)
        if present:
            return False
        del self._present[key]
        return True

    def by_endpoint(self) -> Counter[str]:
        """Connections on each endpoint."""
        connections: Counter[str] = Counter()
        for (_, endpoint), present in self._present.items():
            connections[endpoint] += len(present)
        return connections

    def find(self, receiver: str, endpoint: Endpoint) -> Iterator[Connected]:
        """The connections of a receiver (key:<fingerprint>) on an endpoint."""
        return iter(tuple(self._present.get((receiver, endpoint), ())))
