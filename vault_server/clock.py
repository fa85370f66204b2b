"""The only place that asks what time it is, or for randomness."""

from __future__ import annotations

import os
import time


class Clock:
    """The machine's time and randomness; a test hands in another."""

    def now_ms(self) -> int:
        """UTC milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def random_bytes(self, count: int) -> bytes:
        """Bytes fit for keys and nonces."""
        return os.urandom(count)
