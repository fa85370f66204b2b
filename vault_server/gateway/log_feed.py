"""Log lines on their way to one reader: what it does not take in time is dropped, and it is told how many."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import orjson


class LogFeed:
    """`put` from any thread; iterate in the event loop: each step gives all lines that wait, as bytes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, waiting_bytes_max: int) -> None:
        self._loop = loop
        self._waiting_bytes_max = waiting_bytes_max
        self._lock = threading.Lock()
        self._due = asyncio.Event()
        self._lines: list[bytes] = []
        self._bytes = 0
        self._dropped = 0
        self._has_ended = False

    def put(self, line: bytes) -> None:
        """Have one line read, unless too much waits."""
        with self._lock:
            if self._bytes + len(line) + 1 > self._waiting_bytes_max:
                self._dropped += 1
                return
            self._bytes += len(line) + 1
            self._lines.append(line)
            is_first = len(self._lines) == 1
        if is_first and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._due.set)

    def end(self) -> None:
        """No more lines; those that wait are still given."""
        self._has_ended = True
        self._due.set()

    def __aiter__(self) -> LogFeed:
        return self

    async def __anext__(self) -> bytes:
        while True:
            self._due.clear()
            lines = self._take()
            if lines:
                return b"\n".join(lines) + b"\n"
            if self._has_ended:
                raise StopAsyncIteration
            await self._due.wait()

    def _take(self) -> list[bytes]:
        with self._lock:
            lines, self._lines = self._lines, []
            dropped, self._dropped = self._dropped, 0
            self._bytes = 0
        if dropped:
            lines.append(_dropped(dropped))
        return lines


def _dropped(lines: int) -> bytes:
    return orjson.dumps(
        {"lines": lines, "event": "tail.dropped", "level": "warning", "timestamp": datetime.now(UTC).isoformat()}
    )
