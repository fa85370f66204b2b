"""A worker process: takes one puzzle at a time from standard input and reports on standard output.

It ends when its parent does (end of file on the pipe), and leaves signals of the terminal to its parent. It never
opens a socket or a file. A proof that goes with the answer will be computed in `_solve`, from the same values.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections import deque
from time import monotonic

from vault_solver.pipe import Cancel, Dropped, Line, Progressed, Ready, Solve, Solved, read_line, write_line
from vault_solver.squaring import square_in_chunks

PROGRESS_SECONDS = 1.0


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

    def cancels(self, assignment: int) -> bool:
        """Whether this assignment has been cancelled; looks at what has arrived, waits for nothing.

        Raises ParentGone.
        """
        while select.select([self._fd], [], [], 0)[0]:
            self._read()
        if Cancel(assignment) not in self._orders:
            return False
        self._orders.remove(Cancel(assignment))
        return True

    def _read(self) -> None:
        arrived = os.read(self._fd, 65_536)
        if not arrived:
            raise ParentGone
        *lines, self._rest = (self._rest + arrived).split(b"\n")
        self._orders.extend(read_line(line) for line in lines)


def _say(fd: int, line: Line) -> None:
    unsent = write_line(line)
    while unsent:
        unsent = unsent[os.write(fd, unsent) :]


def _solve(order: Solve, inbox: Inbox, out: int) -> Line:
    reported = monotonic()
    for done, value in square_in_chunks(order.base, order.squarings, order.modulus):
        if done == order.squarings:
            return Solved(order.assignment, value)
        if inbox.cancels(order.assignment):
            return Dropped(order.assignment)
        if monotonic() - reported >= PROGRESS_SECONDS:
            reported = monotonic()
            _say(out, Progressed(order.assignment, done))
    raise AssertionError("the last chunk ends at the number of squarings")


def serve(fd_in: int, fd_out: int) -> None:
    """Work through orders until the parent is gone."""
    inbox = Inbox(fd_in)
    try:
        _say(fd_out, Ready())
        while True:
            order = inbox.next()
            if isinstance(order, Solve):  # a Cancel for what is finished already needs nothing
                _say(fd_out, _solve(order, inbox, fd_out))
    except (ParentGone, BrokenPipeError):
        return


def main() -> None:
    """Entry of the process."""
    for group_signal in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(group_signal, signal.SIG_IGN)  # ctrl-C reaches the whole group; the parent decides
    serve(sys.stdin.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    main()
