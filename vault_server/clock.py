"""The only place that asks what time it is, or for randomness."""

from __future__ import annotations

import os
import time
from threading import Lock

DRAWN_BYTES = 8192


class Clock:
    """The machine's time and randomness; a test hands in another. Used from several threads."""

    def __init__(self) -> None:
        self._drawn = b""
        self._given = 0
        self._lock = Lock()

    def now_ms(self) -> int:
        """UTC milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def random_bytes(self, count: int) -> bytes:
        """Bytes fit for keys and nonces: the operating system's, drawn in large pieces, each byte given out once.

        A call of the system lets go of the interpreter's lock, and there is one nonce for every sealed value.
        """
        with self._lock:
            if self._given + count > len(self._drawn):
                self._drawn, self._given = os.urandom(max(count, DRAWN_BYTES)), 0
            start, self._given = self._given, self._given + count
            return self._drawn[start : self._given]
