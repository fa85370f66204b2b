"""The log's last lines as JSON, kept in memory for whoever tails them, whatever the log itself looks like."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor

LINES_KEPT = 1000
"""How far back `vault-server tail --since` can look."""

Follower = Callable[[bytes], object]


class RecentLines:
    """Lines come from any thread; a follower is called there with each one, and must neither block nor raise."""

    def __init__(self, lines_max: int = LINES_KEPT) -> None:
        self._lines: deque[bytes] = deque(maxlen=lines_max)
        self._followers: tuple[Follower, ...] = ()
        self._lock = threading.Lock()

    def add(self, lines: Iterable[bytes]) -> None:
        """Keep lines, in place of the oldest; tell who follows."""
        with self._lock:
            for line in lines:
                self._lines.append(line)
                for follower in self._followers:
                    follower(line)

    def follow(self, follower: Follower, earlier: int) -> None:
        """Give it up to `earlier` lines there are, then each one that comes."""
        with self._lock:
            for line in list(self._lines)[max(0, len(self._lines) - earlier) :]:
                follower(line)
            self._followers = (*self._followers, follower)

    def leave(self, follower: Follower) -> None:
        """No more lines for it."""
        with self._lock:
            # By equality: each look at an object's method makes a new one.
            self._followers = tuple(other for other in self._followers if other != follower)

    def beside(self, render: Processor) -> Processor:
        """`render` for a log in another shape: what it renders is kept as JSON."""

        def keep_and_render(logger: Any, name: str, event: EventDict) -> Any:
            plain = structlog.processors.format_exc_info(logger, name, dict(event))
            self.add([orjson.dumps(plain, default=str)])
            return render(logger, name, event)

        return keep_and_render
