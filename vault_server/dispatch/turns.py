"""What waits for a thread, by whose it is: keys take turns, so that one key's many hold up nobody else's one."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """A queue for each key; the next is the oldest of the key that has waited longest for its turn."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[T]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def count(self, key: str) -> int:
        """How many of one key wait."""
        return len(self._queues.get(key, ()))

    def add(self, key: str, waiting: T) -> None:
        """Behind the key's others."""
        self._queues.setdefault(key, deque()).append(waiting)
        self._count += 1

    def next(self) -> T:
        """The oldest of the key whose turn it is."""
        key, queue = self._queues.popitem(last=False)
        waiting = queue.popleft()
        if queue:
            self._queues[key] = queue
        self._count -= 1
        return waiting

    def clear(self) -> list[T]:
        """All of them, taken out."""
        return [self.next() for _ in range(self._count)]
