"""The arithmetic: base^(2^t) mod N by repeated squaring, in blocks that are checked; a wrong one is done again.

Never squares one at a time in Python: a block of k squarings is one call of GMP with the exponent 2^k.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from time import monotonic

import gmpy2
from gmpy2 import mpz

from vault_solver.blocks import CHECKED_MIN, block_squarings, is_near_end, next_block
from vault_solver.gerbicz import Segment, Square
from vault_solver.state import State

CHECK_SECONDS = 30.0
CHECKS_PER_CHECKPOINT = 2.5
"""What follows the last check is lost, and with a damaged newest file what follows the one before: twice two fifths.
The last fifth is for coming back."""
CRASH_LOSS_SECONDS = CHECKS_PER_CHECKPOINT * CHECK_SECONDS
"""Seconds of work that a crash may cost, also when the newest checkpoint is damaged."""
"""Between two checks: what one error costs at most, and how often there is a state to write down."""

REPEATS_MAX = 3
"""Errors in a row from one state on, until the machine is believed to compute wrongly."""


class MachineErrs(Exception):
    """The same squarings came out wrong again and again."""


def gmp_square(value: mpz, squarings: int, modulus: mpz) -> mpz:
    """value^(2^squarings) mod modulus."""
    return gmpy2.powmod(value, mpz(1) << squarings, modulus)


class Squaring:
    """One puzzle on its way: `advance` until `finished`, then there is an `answer`.

    `start` is a state of the same puzzle that was verified before. At the numbers of squarings in `marks` (rising,
    evenly spread) a block ends and the residue is kept in the state. `square` does all squarings, those of the check
    included. With `is_end_proved` the squarings since the last check are left unchecked at the end: a proof that holds
    is their check.
    """

    def __init__(
        self,
        base: int,
        squarings: int,
        modulus: int,
        *,
        start: State | None = None,
        marks: Sequence[int] = (),
        is_end_proved: bool = False,
        check_seconds: float = CHECK_SECONDS,
        square: Square = gmp_square,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._n = mpz(modulus)
        self._squarings = squarings
        self._ends = [mark for mark in marks if mark < squarings]
        gap = max((later - mark for mark, later in pairwise((0, *self._ends))), default=None)
        self._block = block_squarings(
            squarings, modulus.bit_length(), check_seconds, gap=gap, is_end_proved=is_end_proved
        )
        self._check_seconds = check_seconds
        self._square, self._now = square, now
        self._done, self._value = 0, mpz(base)
        self._kept: list[tuple[int, int]] = []
        self._segment = Segment(self._value, self._n, square)
        self._checked_at = 0.0
        self._errors_here = 0
        self.errors = 0
        self.checked = squarings >= CHECKED_MIN and math.gcd(base, modulus) == 1  # else the check cannot tell anything
        self._is_end_checked = self.checked and not is_end_proved
        self.verified = start or State(0, base)
        self._go_on_from_verified()

    @property
    def done(self) -> int:
        """Squarings behind us, the last of them not checked yet."""
        return self._done

    @property
    def finished(self) -> bool:
        """Whether the answer is there, and checked unless its proof will do that."""
        return (self.verified.done if self._is_end_checked else self._done) == self._squarings

    @property
    def answer(self) -> int:
        """base^(2^squarings) mod modulus."""
        return self.end.value

    @property
    def end(self) -> State:
        """The answer with everything that was kept on the way to it."""
        assert self.finished, "there is no answer before the last squaring is checked"
        return State(self._done, int(self._value), tuple(self._kept))

    def advance(self) -> None:
        """One block, and the check when it is time. Raises MachineErrs."""
        mark = bisect_right(self._ends, self._done)
        end = self._ends[mark] if mark < len(self._ends) else self._squarings
        squarings = next_block(self._done, end, self._block)
        self._value = self._square(self._value, squarings, self._n)
        self._done += squarings
        if self._done == end and end != self._squarings:
            self._kept.append((end, int(self._value)))
        if self.checked:
            self._segment.add(squarings, self._value)
            if self._is_check_due():
                self.check()

    def _is_check_due(self) -> bool:
        left = self._squarings - self._done
        if left == 0:
            return self._is_end_checked
        is_time = self._now() - self._checked_at >= self._check_seconds
        may_wait = not self._is_end_checked and is_near_end(left, self._done - self.verified.done)
        return is_time and not may_wait

    def check(self) -> None:
        """Verify what was done since the last time, or go back there. Raises MachineErrs."""
        if not self.checked or self._done == self.verified.done:
            return
        if self._segment.holds():
            self._errors_here = 0
            self.verified = State(self._done, int(self._value), tuple(self._kept))
        else:
            self.errors += 1
            self._errors_here += 1
            if self._errors_here > REPEATS_MAX:
                raise MachineErrs
        self._go_on_from_verified()

    def _go_on_from_verified(self) -> None:
        self._done = self.verified.done
        self._value = mpz(self.verified.value)
        self._kept = list(self.verified.kept)
        self._segment = Segment(self._value, self._n, self._square)
        self._checked_at = self._now()
