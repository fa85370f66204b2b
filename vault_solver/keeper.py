"""Keeps checkpoints while puzzles are solved: reads and writes in a thread of its own, so that no disk stops any work.

Of each assignment only the newest state waits to be written. What cannot be written is said once, and tried again with
the next state. An answer that was found on disk needs no worker: it is reported as if one had just computed it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import time

import structlog

from vault_solver.archive import Answered, Archive
from vault_solver.blocks import CHECKED_MIN
from vault_solver.checkpoint import Bound, bind
from vault_solver.pipe import Report, Solve, Solved
from vault_solver.plan import is_worth
from vault_solver.state import State
from vault_solver.store import Found, Store, Unwritable

FLUSH_SECONDS_MAX = 5.0
"""How long the last writes may take when the solver stops."""


class Keeper:
    """`begin` each puzzle through it; `start` it first, `stop` it last. It `report`s answers that it has found."""

    def __init__(self, store: Store, solver: str, report: Callable[[Report], None]) -> None:
        self._store = store
        self._archive = Archive(store, solver)
        self._solver = solver
        self._report = report
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
        """Call `solve` with this job, and with the state to go on from: its own, or one on disk that is farther on."""
        number = job.assignment
        if job.squarings < CHECKED_MIN:
            solve(job)
            return
        bound = self._bounds[number] = bind(self._server_key, self._solver, task, job)
        self._starting.add(number)
        self._run(lambda: self._store.load(bound), lambda found: self._begin(job, found, solve))

    def look(self, job: Solve, task: str) -> None:
        """Report the answer of this job if an earlier process has left it, though no worker is free to begin it."""
        bound = bind(self._server_key, self._solver, task, job)
        self._run(lambda: self._store.load(bound), lambda found: self._looked(job, bound, found))

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

    def keep_answer(self, solved: Solved) -> None:
        """A proved answer is written down until the server has it; its proof needs no residues any more."""
        bound = self._bounds.get(solved.assignment)
        if bound is not None and solved.proof:
            self.keep(solved.assignment, State(bound.squarings, solved.answer, (), solved.proof))

    def archive(self, job: Solve, task: str, answer: int, kept_until_ms: int) -> None:
        """An answer has gone out without a proof: keep what one can be made from."""
        bound, newest = self._bounds.get(job.assignment), self._newest.get(job.assignment)
        server_key = self._server_key

        def write() -> Unwritable | None:
            state = newest or (self._store.load(bound).state if bound is not None else None)
            ended = state if state is not None and state.done == job.squarings else None
            try:
                answered = Answered(replace(job, state=ended, plan=None), task, answer, kept_until_ms)
                self._archive.keep(server_key, answered, int(time() * 1000))
            except Unwritable as error:
                return error
            return None

        self._run(write, self._archived)

    def recall(self, assignment: int, then: Callable[[Answered | None], None]) -> None:
        """Call `then` with what was archived of this assignment."""
        server_key = self._server_key

        def give(found: object) -> None:
            assert found is None or isinstance(found, Answered), "the archive finds an answer or nothing"
            then(found)

        self._run(lambda: self._archive.find(server_key, assignment), give)

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
        state, refused = _worth(job, found)
        self._warn(number, refused, "begun from its start" if state is None else "gone on with from another checkpoint")
        if number not in self._starting:
            return
        self._starting.discard(number)
        if job.state is not None and (state is None or state.done < job.state.done):
            state = job.state
            self.keep(number, state)
        if state is not None:
            percent = round(100 * state.done / job.squarings, 1)
            self._log.info("assignment.resumed", assignment=number, percent=percent)
        if state is not None and _is_answer(job, state):
            self._report(Solved(number, state.value, state.proof))
        else:
            solve(replace(job, state=state))

    def _looked(self, job: Solve, bound: Bound, found: object) -> None:
        assert isinstance(found, Found), "the store finds something or nothing"
        self._warn(job.assignment, found.refused, "not looked at again")
        if found.state is not None and _is_answer(job, found.state):
            self._bounds[job.assignment] = bound
            self._log.info("assignment.resumed", assignment=job.assignment, percent=100.0)
            self._report(Solved(job.assignment, found.state.value, found.state.proof))

    def _warn(self, assignment: int, refused: list[tuple[str, str]], consequence: str) -> None:
        for file, reason in refused:
            self._log.warning(
                "checkpoint.refused", assignment=assignment, file=file, reason=reason, consequence=consequence
            )

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

    def _archived(self, error: object) -> None:
        if isinstance(error, Unwritable):
            self._fail(error)
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


def _is_answer(job: Solve, state: State) -> bool:
    """Whether nothing is left to do."""
    needs_proof = job.plan is not None and job.plan.is_proved
    return state.done == job.squarings and bool(state.proof or not needs_proof)


def _worth(job: Solve, found: Found) -> tuple[State | None, list[tuple[str, str]]]:
    """The state to go on from, and what was refused, with this one if it lacks too much of what a proof needs."""
    if found.state is None or is_worth(job.squarings, job.plan, found.state):
        return found.state, found.refused
    return None, [*found.refused, ("the newest", "it keeps too few residues to prove the answer from")]
