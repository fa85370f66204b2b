"""A worker process: takes one puzzle at a time from standard input and reports on standard output.

It ends when its parent does (end of file on the pipe), and leaves signals of the terminal to its parent. It never
opens a socket or a file: verified states go to the parent, who writes them down.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections import deque
from collections.abc import Callable

from gmpy2 import mpz, powmod

from protocol.prover import Power
from vault_solver.blocks import REFERENCE_BITS
from vault_solver.gerbicz import Square
from vault_solver.kernel import AUTO, Gmp, choose
from vault_solver.pipe import Cancel, Line, Ready, Solve, Suspend, read_line, write_line
from vault_solver.solving import Solving, Stopped
from vault_solver.squaring import CHECK_SECONDS, gmp_square

LOOK_SQUARINGS = 30_000
"""Between two looks for a cancellation, at 2048 bits: six milliseconds."""


class ParentGone(Exception):
    """The pipe to the parent has ended."""


class Inbox:
    """Orders from a pipe, read without the buffers of a file object so that `select` sees everything."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""
        self._orders: deque[Line] = deque()

    def next(self) -> Line:
        """Wait for an order. Raises ParentGone."""
        while not self._orders:
            self._read()
        return self._orders.popleft()

    def stops(self, assignment: int) -> Cancel | Suspend | None:
        """Whether this assignment is to stop, and how; looks at what has arrived, waits for nothing.

        Raises ParentGone.
        """
        while select.select([self._fd], [], [], 0)[0]:
            self._read()
        for order in (Cancel(assignment), Suspend(assignment)):
            if order in self._orders:
                self._orders.remove(order)
                return order
        return None

    def is_cancelled(self, assignment: int) -> bool:
        """Whether this assignment is to be dropped as it is. The order stays; raises ParentGone."""
        while select.select([self._fd], [], [], 0)[0]:
            self._read()
        return Cancel(assignment) in self._orders

    def _read(self) -> None:
        arrived = os.read(self._fd, 65_536)
        if not arrived:
            raise ParentGone
        *lines, self._rest = (self._rest + arrived).split(b"\n")
        self._orders.extend(read_line(line) for line in lines)


class Looking:
    """Squares like `square`, with a look after every so many squarings at 2048 bits; what that raises, passes.

    A block may take longer than a cancelled assignment should. For a kernel that has no table to make for each call.
    """

    def __init__(self, square: Square, squarings: int, look: Callable[[], None]) -> None:
        self._square, self._squarings, self._look = square, squarings, look

    def __call__(self, value: mpz, squarings: int, modulus: mpz) -> mpz:
        """value^(2^squarings) mod modulus."""
        longest = max(1, self._squarings * REFERENCE_BITS**2 // modulus.bit_length() ** 2)
        while squarings > longest:
            value, squarings = self._square(value, longest, modulus), squarings - longest
            self._look()
        return self._square(value, squarings, modulus)


class Worker:
    """Orders in, reports out. `square` does the squarings, `power` the powers of proofs.

    With `look_squarings` a cancelled block is left in the middle, see `Looking`.
    """

    def __init__(
        self,
        fd_in: int,
        fd_out: int,
        check_seconds: float = CHECK_SECONDS,
        square: Square = gmp_square,
        power: Power = powmod,
        look_squarings: int = 0,
    ) -> None:
        self._inbox = Inbox(fd_in)
        self._out = fd_out
        self._check_seconds = check_seconds
        self._square, self._power = square, power
        self._look_squarings = look_squarings

    def serve(self) -> None:
        """Work through orders until the parent is gone."""
        try:
            self._say(Ready())
            while True:
                order = self._inbox.next()
                if isinstance(order, Solve):  # a Cancel for what is finished already needs nothing
                    self._say(self._solving(order).run())
        except (ParentGone, BrokenPipeError):
            return

    def _solving(self, order: Solve) -> Solving:
        square = self._square
        if self._look_squarings:
            square = Looking(square, self._look_squarings, lambda: self._look(order.assignment))
        return Solving(order, self._say, self._inbox.stops, square, self._check_seconds, self._power)

    def _look(self, assignment: int) -> None:
        if self._inbox.is_cancelled(assignment):
            raise Stopped

    def _say(self, line: Line) -> None:
        unsent = memoryview(write_line(line))
        while unsent:
            unsent = unsent[os.write(self._out, unsent) :]


def ignore_signals() -> None:
    """Ctrl-C reaches the whole group; the parent decides."""
    for group_signal in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(group_signal, signal.SIG_IGN)


def main() -> None:
    """Entry of the process; its arguments are the seconds between two checks, and the kernel, which is tested again."""
    ignore_signals()
    arguments = dict(enumerate(sys.argv))
    check_seconds, chosen = float(arguments.get(1, CHECK_SECONDS)), choose(arguments.get(2, AUTO))
    if chosen.warning:
        sys.stderr.write(f"vault-solver: {chosen.warning}; {chosen.name} is used\n")
    arithmetic = chosen.arithmetic
    look_squarings = 0 if chosen.name == Gmp.name else LOOK_SQUARINGS
    standard = sys.stdin.fileno(), sys.stdout.fileno()
    Worker(*standard, check_seconds, arithmetic.square, arithmetic.power, look_squarings).serve()


if __name__ == "__main__":
    main()
