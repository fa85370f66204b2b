"""When the next request may leave, so that a server's rate limit is never met. Touches no clock and no socket.

The server counts what arrives there, within any `rate_limit_window`. What is sent counts here until a window after its
reply: it had arrived by then, so whatever the network holds up meanwhile, no window of the server's holds more than are
allowed here. Keep one pacer for all connections of a program: the server counts by key.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

SOLVER_LIMIT = "max_requests_per_window"
CLIENT_LIMIT = "max_requests_per_window_client"
WINDOW = "rate_limit_window"
"""Names in `welcome.limits`; the window is in seconds."""

SHARE = 0.8
"""Of the server's limit. The rest is for other programs with this key, and for this one before it was restarted."""


class Pacer:
    """Ask `wait` before each request, say `sent`, and `arrived` once its reply is there or its connection is gone.

    `limit` names the entry of `welcome.limits` that bounds this endpoint. A server that names no limit sets no pace.
    Times are seconds of any clock that never goes back.
    """

    def __init__(self, limit: str) -> None:
        self._limit = limit
        self._allowed: int | None = None
        self._window_s = 0.0
        self._on_the_way: set[int] = set()
        self._counting: deque[float] = deque()
        """When each that has arrived counts no more, the earliest first."""
        self._held_until = 0.0
        self._last = 0

    def learn(self, limits: Mapping[str, int]) -> None:
        """What a server's welcome says."""
        limit, window = limits.get(self._limit, 0), limits.get(WINDOW, 0)
        known = limit > 0 and window > 0
        self._allowed = max(1, math.floor(limit * SHARE)) if known else None
        self._window_s = float(window) if known else 0.0

    def interval(self, share: float) -> float:
        """Seconds between two messages that together use this share of the server's limit; 0 when there is none."""
        return 0.0 if self._allowed is None else self._window_s * SHARE / (self._allowed * share)

    def wait(self, now: float, *, share: float = 1.0, count: int = 1) -> float:
        """Seconds until `count` more may be sent, 0 for now; infinity when a reply has to come first.

        With a smaller `share` it keeps the rest of what is allowed free for others.
        """
        while self._counting and self._counting[0] <= now:
            self._counting.popleft()
        held = max(0.0, self._held_until - now)
        if self._allowed is None:
            return held
        room = max(1, math.floor(self._allowed * share))
        too_many = len(self._on_the_way) + len(self._counting) + count - room
        if too_many <= 0:
            return held
        if too_many > len(self._counting):
            return math.inf
        return max(held, self._counting[too_many - 1] - now)

    def seconds_for(self, count: int, now: float, *, share: float = 1.0) -> float:
        """How long so many more take, where replies come at once."""
        held = max(0.0, self._held_until - now)
        if self._allowed is None or count == 0:
            return held
        windows = (len(self._on_the_way) + len(self._counting) + count - 1) // max(1, math.floor(self._allowed * share))
        return held + windows * self._window_s

    def sent(self) -> int:
        """One is on its way; returns its number for `arrived`."""
        self._last += 1
        self._on_the_way.add(self._last)
        return self._last

    def arrived(self, number: int, now: float) -> None:
        """The server has counted it: its reply is there. Or nobody will ever know, its connection is gone."""
        if number in self._on_the_way:
            self._on_the_way.remove(number)
            self._counting.append(now + self._window_s)

    def lost(self, now: float) -> None:
        """The connection is gone, and with it every reply."""
        for number in list(self._on_the_way):
            self.arrived(number, now)

    def hold(self, seconds: float, now: float) -> None:
        """The server has refused one for the rate: send none before that time."""
        self._held_until = max(self._held_until, now + seconds)
