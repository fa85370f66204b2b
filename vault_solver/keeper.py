"""Keeps checkpoints while puzzles are solved: reads and writes in a thread of its own, so that no disk stops any work.

Of each assignment only the newest state waits to be written. What cannot be written is said once, and tried again with
the next state.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import structlog

from vault_solver.blocks import CHECKED_MIN
from vault_solver.checkpoint import Bound, bind
from vault_solver.pipe import Solve
from vault_solver.state import State
from vault_solver.store import Found, Store, Unwritable

FLUSH_SECONDS_MAX = 5.0
"""How long the last writes may take when the solver stops."""


class Keeper:
    """`begin` each puzzle through it; `start` it first, `stop` it last."""

    def __init__(self, store: Store, solver: str) -> None:
        self._store = store
        self._solver = solver
        self._server_key = ""
        self._bounds: dict[int, Bound] = {}
        self._starting: set[int] = set()
        self._newest: dict[int, State] = {}
        self._queued: set[int] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._under_way: set[asyncio.Future[object]] = set()
        self._first: set[int] = set()
        self._failing = self._stopped = False
        self.written = 0
        self.bytes = 0
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """Ready when it returns, also where nothing can be written: then that is said."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.open)
            self.bytes = await asyncio.get_running_loop().run_in_executor(self._thread, self._store.bytes)
        except Unwritable as error:
            self._fail(error)

    async def stop(self) -> None:
        """What was handed in is written when it returns. Safe twice."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS_MAX):
                while self._under_way:
                    await asyncio.wait(set(self._under_way))
        self._stopped = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def meet(self, server_key: str) -> None:
        """The server whose assignments are in hand from now on."""
        self._server_key = server_key

    def begin(self, job: Solve, task: str, solve: Callable[[Solve], None]) -> None:
        """Call `solve` with this job, and with the state to go on from if there is one."""
        number = job.assignment
        if job.squarings < CHECKED_MIN:
            solve(job)
            return
        bound = self._bounds[number] = bind(self._server_key, self._solver, task, job)
        self._starting.add(number)
        self._run(lambda: self._store.load(bound), lambda found: self._begin(job, found, solve))

    def cancel(self, assignment: int) -> None:
        """It need not be begun any more."""
        self._starting.discard(assignment)

    def keep(self, assignment: int, state: State) -> None:
        """Write this down, unless a newer one comes first."""
        if assignment not in self._bounds:
            return
        self._newest[assignment] = state
        if assignment not in self._queued:
            self._queued.add(assignment)
            self._run(lambda: self._save(assignment), lambda error: self._saved(assignment, error))

    def discard(self, assignment: int) -> None:
        """It has ended: its files go."""
        self.cancel(assignment)
        self._bounds.pop(assignment, None)
        self._newest.pop(assignment, None)
        self._first.discard(assignment)
        server_key = self._server_key
        self._run(lambda: self._store.remove(server_key, assignment), lambda _: self._measure())

    def _begin(self, job: Solve, found: object, solve: Callable[[Solve], None]) -> None:
        assert isinstance(found, Found), "the store finds something or nothing"
        number = job.assignment
        instead = "begun from its start" if found.state is None else "gone on with from another checkpoint"
        for file, reason in found.refused:
            self._log.warning("checkpoint.refused", assignment=number, file=file, reason=reason, consequence=instead)
        if number not in self._starting:
            return
        self._starting.discard(number)
        if found.state is not None:
            percent = round(100 * found.state.done / job.squarings, 1)
            self._log.info("assignment.resumed", assignment=number, percent=percent)
        solve(replace(job, state=found.state))

    def _save(self, assignment: int) -> Unwritable | None:
        """In the thread. The state may have been discarded meanwhile."""
        state, bound = self._newest.pop(assignment, None), self._bounds.get(assignment)
        if state is None or bound is None:
            return None
        try:
            self._store.save(bound, state)
        except Unwritable as error:
            return error
        return None

    def _saved(self, assignment: int, error: object) -> None:
        self._queued.discard(assignment)
        if assignment in self._newest:  # one more came while that was written
            self.keep(assignment, self._newest[assignment])
        if isinstance(error, Unwritable):
            self._fail(error)
            return
        self.written += 1
        if self._failing:
            self._failing = False
            self._log.info("checkpoint.writable")
        if assignment in self._bounds and assignment not in self._first:
            self._first.add(assignment)
            self._log.info("checkpoint.written", assignment=assignment)
        self._measure()

    def _measure(self) -> None:
        self._run(self._store.bytes, self._measured)

    def _measured(self, size: object) -> None:
        assert isinstance(size, int), "a size is a number"
        self.bytes = size

    def _fail(self, error: Unwritable) -> None:
        if not self._failing:
            fields = {"consequence": "work goes on; after a crash it would begin again"}
            self._log.warning("checkpoint.unwritable", reason=str(error), suggestion=error.suggestion, **fields)
        self._failing = True

    def _run(self, act: Callable[[], object], then: Callable[[object], None]) -> None:
        """In the thread, in the order of asking; `then` in the event loop."""

        if self._stopped:
            return

        def done(future: asyncio.Future[object]) -> None:
            self._under_way.discard(future)
            if not future.cancelled():
                then(future.result())

        future = asyncio.get_running_loop().run_in_executor(self._thread, act)
        self._under_way.add(future)
        future.add_done_callback(done)
