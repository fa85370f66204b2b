"""What bounds somebody who goes on beyond his limit where nobody is banned: his connection is held, again and again.

While it is held nothing of it is read. Whoever ignores RATE_LIMITED a thousand times is answered `EXCESS_MAX` times a
second on each of his connections, and his messages wait on his own side.
"""

from __future__ import annotations

from vault_server.exchange.windows import Window

EXCESS_MAX = 16
"""Messages beyond the limit that are answered before the connection is held."""

EXCESS_BYTES = 4096
"""So many bytes of such a message count as one more."""

HOLD_SECONDS = 1.0

FREE_PINGS_MAX = 20
FREE_PINGS_MS = 10_000
"""WebSocket pings that are answered within that time as a matter of course; they do not count as requests."""


class Excess:
    """Of one connection. Times are milliseconds that never go back."""

    def __init__(self) -> None:
        self._count = 0
        self._pings = Window(FREE_PINGS_MAX, FREE_PINGS_MS)

    def exceeded(self, frame_bytes: int) -> bool:
        """A message was beyond the limit; whether the connection is to be held now."""
        self._count += 1 + frame_bytes // EXCESS_BYTES
        if self._count < EXCESS_MAX:
            return False
        self._count = 0
        return True

    def pinged(self, now_ms: int) -> bool:
        """A WebSocket ping has come; whether the connection is to be held now."""
        if self._pings.wait_ms(now_ms):
            return self.exceeded(0)
        self._pings.add(now_ms)
        return False
