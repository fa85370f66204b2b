"""Messages that need not arrive, passed on at a bounded rate: the newest of a topic waits, older ones are dropped."""

from __future__ import annotations

import asyncio

from vault_server.core.operation import Endpoint, Relay
from vault_server.gateway.roster import Roster

TOPICS_MAX = 65_536
"""Topics that are held at once; one more is dropped."""

Key = tuple[str, Endpoint, str]


class Relays:
    """Of one topic at most one message in `interval_ms` reaches a receiver; the last before a pause always does."""

    def __init__(self, interval_ms: int, roster: Roster, topics_max: int = TOPICS_MAX) -> None:
        self._interval_s = interval_ms / 1000
        self._roster = roster
        self._topics_max = topics_max
        self._held: dict[Key, Relay | None] = {}

    def pass_on(self, relay: Relay) -> None:
        """Now, or when its topic's turn comes."""
        if relay.topic is None or not self._interval_s:
            self._send(relay)
            return
        key = (relay.receiver, relay.endpoint, relay.topic)
        if key in self._held:
            self._held[key] = relay
        elif len(self._held) < self._topics_max and self._send(relay):
            self._held[key] = None
            asyncio.get_running_loop().call_later(self._interval_s, self._release, key)

    def _release(self, key: Key) -> None:
        waiting = self._held.pop(key)
        if waiting is not None:
            self.pass_on(waiting)

    def _send(self, relay: Relay) -> bool:
        """Whether anybody was there."""
        receivers = list(self._roster.find(relay.receiver, relay.endpoint))
        for connection in receivers:
            connection.signal(relay.message)
        return bool(receivers)
