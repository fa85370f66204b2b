"""Up to where every push has appeared that ever will, though numbers appear in another order than they are drawn.

A transaction has its number before it draws that of a push (storage/postgres_session.py). So what was seen with some
number is settled once all transactions are over that had begun by then: no push below it can appear any more. On
SQLite, where one writes at a time, that is at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

TRANSACTION_SECONDS_MAX = 70.0
"""No transaction of ours lives so long (storage/postgres_session.py); of others on the same server we need not know."""
MARKS_MAX = 64


class _Mark(NamedTuple):
    """`seq` becomes the floor once all transactions before the one numbered `running_to` are over."""

    running_to: int
    seq: int
    made_at: float
    is_first: bool = False


class Horizon:
    """`floor`: everything up to it is settled. `handled`: what lies above it and was handled before."""

    def __init__(self) -> None:
        self.floor = 0
        self.handled: set[int] = set()
        self._marks: deque[_Mark] = deque()

    def begin(self, floor: int, running_to: int) -> None:
        """What is older than `floor` concerns nobody yet; transactions before `running_to` may still add to it."""
        self.floor = floor
        self.handled = set()
        self._marks = deque([_Mark(running_to, floor, time.monotonic(), is_first=True)])

    def saw(self, seq: int, running_to: int) -> None:
        """A push of that number, in a view in which no transaction from `running_to` on had begun."""
        last = self._marks[-1] if self._marks else None
        is_first = False
        if last is not None and (last.running_to == running_to or len(self._marks) == MARKS_MAX):
            is_first = self._marks.pop().is_first  # the later one stands for both
        self._marks.append(_Mark(running_to, seq, time.monotonic(), is_first))

    def is_handled(self, seq: int) -> bool:
        """Whether this one needs no looking at any more."""
        return seq <= self.floor or seq in self.handled

    def settle(self, oldest: int, present: Iterable[int]) -> bool:
        """Everything above the floor has been handled, in views in which all transactions before `oldest` were over;
        `present` is what there was. Whether what had begun before the start is over with that.
        """
        is_first_over = False
        long_ago = time.monotonic() - TRANSACTION_SECONDS_MAX
        while self._marks and (self._marks[0].running_to <= oldest or self._marks[0].made_at < long_ago):
            mark = self._marks.popleft()
            self.floor = max(self.floor, mark.seq)
            is_first_over = is_first_over or mark.is_first
        self.handled = {seq for seq in present if seq > self.floor}
        return is_first_over
