"""Sliding windows: at most so many of something within any span of time. Pure; the time is handed in."""

from __future__ import annotations

from collections import OrderedDict, deque


class Window:
    """When the last `limit` of them happened: what is older cannot matter. Times never go back."""

    __slots__ = ("_span_ms", "_times", "warned_until_ms")

    def __init__(self, limit: int, span_ms: int) -> None:
        assert limit > 0, "a window lets something through"
        self._times: deque[int] = deque(maxlen=limit)
        self._span_ms = span_ms
        self.warned_until_ms = 0
        """Until when its owner has been told to wait."""

    def wait_ms(self, now_ms: int) -> int:
        """0 when one more fits now, else how long until the oldest has left the window."""
        if len(self._times) < (self._times.maxlen or 0):
            return 0
        return max(0, self._times[0] + self._span_ms - now_ms)

    def add(self, now_ms: int) -> None:
        """One more has happened."""
        self._times.append(now_ms)

    def count(self, now_ms: int) -> int:
        """How many are in it; what has left it is forgotten."""
        while self._times and now_ms - self._times[0] >= self._span_ms:
            self._times.popleft()
        return len(self._times)

    def reset_ms(self, now_ms: int) -> int:
        """How long until the oldest one has left it; 0 when it is empty."""
        return self._times[0] + self._span_ms - now_ms if self.count(now_ms) else 0

    def is_idle(self, now_ms: int) -> bool:
        """Whether nothing is left in it: it can be forgotten."""
        return not self._times or now_ms - self._times[-1] >= self._span_ms


class Windows:
    """One window for each key, the least recently used first; idle ones go, and `keys_max` are kept at most."""

    def __init__(self, limit: int, span_ms: int, keys_max: int) -> None:
        self._limit = limit
        self._span_ms = span_ms
        self._keys_max = keys_max
        self._windows: OrderedDict[str, Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def of(self, key: str, now_ms: int) -> Window:
        """The key's window."""
        window = self._windows.get(key)
        if window is not None:
            self._windows.move_to_end(key)
            return window
        self._make_room(now_ms)
        window = self._windows[key] = Window(self._limit, self._span_ms)
        return window

    def forget(self, key: str) -> None:
        """Begin anew."""
        self._windows.pop(key, None)

    def _make_room(self, now_ms: int) -> None:
        while self._windows:
            oldest = next(iter(self._windows))
            if len(self._windows) < self._keys_max and not self._windows[oldest].is_idle(now_ms):
                return
            del self._windows[oldest]
