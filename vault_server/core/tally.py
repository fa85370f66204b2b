"""What has happened since the start, in plain numbers: the event loop adds to them, metrics.py shows them."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence

OK = "OK"
"""The code of a request that was not refused."""

BATCH_MESSAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
BATCH_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Spread:
    """How often a value was how large. `bounds` are the upper ends of the steps, ascending; one more step is open."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(map(float, bounds))
        self.total = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulated(self) -> Iterator[tuple[str, int]]:
        """(upper end, how many values up to it), as Prometheus writes a histogram; the last one is +Inf."""
        count = 0
        for bound, more in zip((*map(str, self.bounds), "+Inf"), self._counts, strict=True):
            count += more
            yield bound, count


class Tally:
    """Touched by the event loop's thread alone, so an addition costs no lock. Every key comes from a fixed list."""

    def __init__(self) -> None:
        self.received: defaultdict[str, int] = defaultdict(int)  # by wire type
        self.replied: defaultdict[str, int] = defaultdict(int)  # by error code, or OK
        self.pushed: defaultdict[str, int] = defaultdict(int)  # by wire type
        self.connections_refused: defaultdict[str, int] = defaultdict(int)  # by HTTP status, or "hung up"
        self.handshakes_refused: defaultdict[str, int] = defaultdict(int)  # by error code
        self.storage_errors: defaultdict[str, int] = defaultdict(int)  # by what was tried: read, write
        self.batch_messages = Spread(BATCH_MESSAGES)
        self.batch_seconds = Spread(BATCH_SECONDS)
