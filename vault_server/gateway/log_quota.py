"""A bound on log lines that strangers can cause: so many in a span, and how many were left out is told."""

from __future__ import annotations

from vault_server.exchange.windows import Window

LINES_MAX = 250
SPAN_MS = 10_000


class LogQuota:
    """For one kind of line; `now_ms` never goes back."""

    def __init__(self, lines_max: int = LINES_MAX, span_ms: int = SPAN_MS) -> None:
        self._window = Window(lines_max, span_ms)
        self._left_out = 0

    def take(self, now_ms: int) -> dict[str, int] | None:
        """None: leave this one out. Else what to add to it: how many were left out before it, if any were."""
        if self._window.wait_ms(now_ms):
            self._left_out += 1
            return None
        self._window.add(now_ms)
        left_out, self._left_out = self._left_out, 0
        return {"left_out": left_out} if left_out else {}
