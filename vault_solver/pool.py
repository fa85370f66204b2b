"""The worker processes: hands them puzzles, replaces the dead, and restarts what a dead one was solving.

Never computes in this process, and never waits for a worker: reports arrive by callback in the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from protocol.peer import reconnect_delay
from vault_solver.errors import PoolFailed
from vault_solver.kernel import AUTO
from vault_solver.pipe import (
    Cancel,
    Crashed,
    Dropped,
    Erred,
    Line,
    Miscomputed,
    Misproved,
    Progressed,
    Proving,
    Ready,
    Report,
    Solve,
    Solved,
    Squared,
    Suspend,
    Suspended,
    Verified,
    read_line,
    write_line,
)
from vault_solver.squaring import CHECK_SECONDS

RESTARTS_MAX = 2
"""How often an assignment is gone on with after its worker died without any state since; the fault may be its own."""

# -P: nothing is imported from the folder one happens to stand in.
WORKER = (sys.executable, "-P", "-m", "vault_solver.worker")

LINE_BYTES_MAX = 2**24
"""Of what a worker says: a state with the residues of a proof."""

START_SECONDS_MAX = 30.0
PIPES_CLOSE_SECONDS = 0.05
STOP_SECONDS_MAX = 2.0


@dataclass(slots=True, eq=False)
class _Seat:
    """One place in the pool: the process that sits there now and what it works on."""

    process: Process | None = None
    job: Solve | None = None
    cancelled: bool = False
    suspended: bool = False
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, line: Line) -> None:
        assert self.process is not None, "a seat without a process takes no orders"
        assert self.process.stdin is not None, "the process was started with a pipe"
        self.process.stdin.write(write_line(line))

    def leave(self) -> None:
        """End of orders: the process ends by itself, after its chunk at the latest."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()


class Pool:
    """`size` worker processes; `report` is called with what they say. They check their work every `check_seconds`, and
    compute with this kernel."""

    def __init__(
        self,
        size: int,
        report: Callable[[Report], None],
        check_seconds: float = CHECK_SECONDS,
        worker: Sequence[str] = WORKER,
        kernel: str = AUTO,
    ) -> None:
        self._command = (*worker, str(check_seconds), kernel)
        self._seats = [_Seat() for _ in range(size)]
        self._report = report
        self._backlog: deque[Solve] = deque()
        self._crashes: Counter[int] = Counter()
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._log = structlog.get_logger()

    @property
    def pids(self) -> list[int]:
        """Of the processes that are running."""
        return [seat.process.pid for seat in self._seats if seat.process is not None]

    async def start(self) -> None:
        """Ready when it returns. Raises PoolFailed."""
        self._keepers = [asyncio.create_task(self._keep(seat)) for seat in self._seats]
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                for seat in self._seats:
                    await seat.ready.wait()
        except TimeoutError:
            await self.stop()
            raise PoolFailed(
                "The worker processes do not start.",
                f"See what one says: {sys.executable} -m vault_solver.worker < /dev/null",
            ) from None

    async def watch(self) -> None:
        """Runs as long as the pool; raises what should never happen to it."""
        await asyncio.gather(*self._keepers)

    async def stop(self) -> None:
        """Done when it returns: no process is left. Safe twice."""
        self._stopping = True
        for seat, keeper in zip(self._seats, self._keepers, strict=bool(self._keepers)):
            if seat.process is None:
                keeper.cancel()
            else:
                seat.leave()
        if self._keepers:
            await asyncio.wait(self._keepers, timeout=STOP_SECONDS_MAX)
        for seat in self._seats:
            seat.kill()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        # asyncio closes a process's pipes some turns after the process has been waited for, and complains on standard
        # error when its loop is gone by then.
        await asyncio.sleep(PIPES_CLOSE_SECONDS)

    def solve(self, job: Solve) -> None:
        """Begin as soon as a worker is free."""
        self._backlog.append(job)
        self._hand_out()

    def cancel(self, assignment: int) -> None:
        """Stop: nothing is reported of this assignment any more."""
        self._crashes.pop(assignment, None)
        self._backlog = deque(job for job in self._backlog if job.assignment != assignment)
        for seat in self._seats:
            if seat.job is not None and seat.job.assignment == assignment and not seat.cancelled:
                seat.cancelled = True
                seat.say(Cancel(assignment))

    def suspend(self, assignment: int) -> None:
        """Stop as soon as the state is verified: that is reported, if there is any, then `Suspended`."""
        seats = (seat for seat in self._seats if seat.job is not None and seat.job.assignment == assignment)
        seat = next((seat for seat in seats if not seat.cancelled), None)  # it may be begun anew elsewhere
        if seat is None:
            self._backlog = deque(job for job in self._backlog if job.assignment != assignment)
            self._report(Suspended(assignment))
        elif not seat.suspended:
            seat.suspended = True
            seat.say(Suspend(assignment))

    def _hand_out(self) -> None:
        for seat in self._seats:
            if not self._backlog:
                return
            if seat.job is None and seat.process is not None and seat.ready.is_set():
                seat.job, seat.cancelled, seat.suspended = self._backlog.popleft(), False, False
                seat.say(seat.job)

    async def _keep(self, seat: _Seat) -> None:
        deaths_in_a_row = 0
        while True:
            was_ready = await self._run_one(seat)
            if self._stopping:
                return
            deaths_in_a_row = 1 if was_ready else deaths_in_a_row + 1
            await asyncio.sleep(reconnect_delay(deaths_in_a_row))

    async def _run_one(self, seat: _Seat) -> bool:
        """One process from start to end; whether it got as far as being ready."""
        try:
            seat.process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, limit=LINE_BYTES_MAX
            )
        except OSError as error:
            self._log.error("worker.unstartable", reason=str(error))
            return False
        assert seat.process.stdout is not None, "the process was started with a pipe"
        pid = seat.process.pid
        if self._stopping:
            seat.leave()
        async for raw in seat.process.stdout:
            self._hear(seat, read_line(raw))
        exit_code = await seat.process.wait()
        was_ready = seat.ready.is_set()
        seat.process = None
        seat.ready.clear()
        if not self._stopping:
            self._log.warning("worker.died", pid=pid, exit_code=exit_code)
            self._rescue(seat)
        return was_ready

    def _hear(self, seat: _Seat, line: Line) -> None:
        if isinstance(line, Ready):
            seat.ready.set()
        elif isinstance(line, Progressed | Verified | Squared | Proving | Misproved | Erred) and not seat.cancelled:
            if isinstance(line, Verified | Squared) and seat.job is not None:
                seat.job = replace(seat.job, state=line.state)
                self._crashes.pop(line.assignment, None)
            self._report(line)
        elif isinstance(line, Solved | Miscomputed | Dropped):
            self._end(seat, line)
        self._hand_out()

    def _end(self, seat: _Seat, line: Solved | Miscomputed | Dropped) -> None:
        cancelled, seat.job = seat.cancelled, None
        self._crashes.pop(line.assignment, None)
        if cancelled:
            return
        self._report(Suspended(line.assignment) if isinstance(line, Dropped) else line)

    def _rescue(self, seat: _Seat) -> None:
        job, seat.job = seat.job, None
        if job is None or seat.cancelled:
            return
        self._crashes[job.assignment] += 1
        if seat.suspended:
            del self._crashes[job.assignment]
            self._report(Suspended(job.assignment))
        elif self._crashes[job.assignment] > RESTARTS_MAX:
            del self._crashes[job.assignment]
            self._report(Crashed(job.assignment))
        else:
            self._backlog.appendleft(job)
            self._hand_out()
