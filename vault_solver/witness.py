"""Looks into answers that somebody complains of: proves them, if what that takes was kept and there is time.

One at a time, in a worker process of its own that is there only meanwhile: the others are not disturbed in their work.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import time

from vault_solver.archive import Answered
from vault_solver.complaints import STANDS_BY, WITHDRAWS, Finding
from vault_solver.effects import Examine
from vault_solver.errors import PoolFailed
from vault_solver.keeper import Keeper
from vault_solver.kernel import AUTO
from vault_solver.pipe import Crashed, Miscomputed, Report, Solve, Solved
from vault_solver.plan import Planner, seconds_for, squarings_left
from vault_solver.pool import WORKER, Pool
from vault_solver.state import State

MARGIN_SECONDS = 5.0
"""Before the time to respond is over: for the way to the server, and for clocks that differ. A fifth of what is left,
where that is shorter."""


class Witness:
    """`tell` is called once for each `look_into`. `speeds`: squarings a second by modulus bits."""

    def __init__(
        self,
        keeper: Keeper,
        planner: Planner,
        speeds: Mapping[str, int],
        tell: Callable[[Finding], None],
        worker: Sequence[str] = WORKER,
        kernel: str = AUTO,
    ) -> None:
        self._keeper, self._planner, self._speeds, self._tell = keeper, planner, speeds, tell
        self._worker, self._kernel = worker, kernel
        self._turn = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()

    def look_into(self, order: Examine) -> None:
        """Begin; it never waits."""
        self._keeper.recall(order.assignment, lambda found: self._found(order, found))

    async def stop(self) -> None:
        """What is under way is given up; no process is left. Safe twice."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _found(self, order: Examine, answered: Answered | None) -> None:
        if answered is None:
            self._say(order, STANDS_BY, "nothing is kept that it could be proved from")
            return
        task = asyncio.ensure_future(self._examine(order, answered))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _examine(self, order: Examine, answered: Answered) -> None:
        async with self._turn:
            job = self._job(answered)
            left = order.respond_by_ms / 1000 - time()
            seconds = left - min(MARGIN_SECONDS, left / 5)
            needed = seconds_for(
                squarings_left(job.squarings, job.plan, job.state or State(0, 1)),
                job.modulus.bit_length(),
                self._speeds,
            )
            if needed > seconds:
                self._say(order, STANDS_BY, "a proof would take longer than there is time")
                return
            report = await self._prove(job, seconds)
        if not isinstance(report, Solved):
            self._say(order, STANDS_BY, "no proof came about in time")
        elif report.answer != answered.answer:
            self._say(order, WITHDRAWS, "a proof shows another answer")
        else:
            self._say(order, STANDS_BY, "a proof shows it to be right", report.proof)

    def _job(self, answered: Answered) -> Solve:
        job = answered.job
        plan = self._planner.plan(answered.task, job.squarings, job.modulus.bit_length(), is_proved=True)
        return replace(job, plan=plan)

    async def _prove(self, job: Solve, seconds: float) -> Report | None:
        """What a worker says last of this job; None when it does not come to that in time."""
        last: asyncio.Future[Report] = asyncio.get_running_loop().create_future()

        def hear(report: Report) -> None:
            if isinstance(report, Solved | Miscomputed | Crashed) and not last.done():
                last.set_result(report)

        pool = Pool(1, hear, self._planner.check_seconds, self._worker, self._kernel)
        try:
            with contextlib.suppress(TimeoutError, PoolFailed):
                async with asyncio.timeout(seconds):
                    await pool.start()
                    pool.solve(job)
                    return await last
        finally:
            await pool.stop()
        return None

    def _say(self, order: Examine, response: str, reason: str, proof: bytes = b"") -> None:
        self._tell(Finding(order.complaint, order.assignment, response, reason, proof))
