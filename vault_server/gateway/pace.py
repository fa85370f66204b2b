"""How often things have happened in the last seconds, counted in memory."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping

SECONDS = 10
"""A rate is the mean of this many whole seconds."""


class Pace:
    """`seconds()` is a clock that never goes back. Touched by the event loop's thread alone."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._started = seconds()
        self._buckets: deque[tuple[int, Counter[str]]] = deque(maxlen=SECONDS + 1)

    def count(self, names: Iterable[str]) -> None:
        """These have happened now."""
        now = int(self._seconds())
        if not self._buckets or self._buckets[-1][0] != now:
            self._buckets.append((now, Counter()))
        self._buckets[-1][1].update(names)

    def rates(self) -> Mapping[str, float]:
        """Times a second over the last whole seconds; what did not happen is left out."""
        now = int(self._seconds())
        span = max(1, min(SECONDS, now - int(self._started)))
        total: Counter[str] = Counter()
        for second, counted in self._buckets:
            if now - SECONDS <= second < now:
                total.update(counted)
        return {name: round(count / span, 2) for name, count in total.items()}
