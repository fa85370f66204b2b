"""Slow work that rows ask for: read, compute in worker processes or threads, give the result back as an order.

What a server left undone when it was killed is found in the rows at the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import structlog

from protocol.errors import MessageError
from vault_server.core.operation import SERVER, Job, JobDue, Reader
from vault_server.dispatch.dispatcher import Dispatcher, release_the_gil_in_gmpy2
from vault_server.dispatch.seat import WorkerUnstartable
from vault_server.dispatch.turns import Turns
from vault_server.dispatch.workers import Workers
from vault_server.settings import Settings
from vault_server.storage.database import Database, StorageError

logger = structlog.get_logger()

RETRY_SECONDS = 1.0


class _Line:
    """What waits of one kind of job, each key once. What comes for a key that is worked on waits until that is over."""

    def __init__(self, job: Job, threads: int) -> None:
        self.job = job
        self.threads = threads
        self._waiting: Turns[JobDue] = Turns()
        self._keys: set[str] = set()
        self._in_work: dict[str, JobDue | None] = {}
        self._count = asyncio.Semaphore(0)

    def add(self, due: JobDue) -> None:
        if due.key in self._in_work:
            self._in_work[due.key] = due
        elif due.key not in self._keys:
            self._keys.add(due.key)
            self._waiting.add(due.owner, due)
            self._count.release()

    async def next(self) -> JobDue:
        await self._count.acquire()
        due = self._waiting.next()
        self._keys.remove(due.key)
        self._in_work[due.key] = None
        return due

    def over(self, due: JobDue) -> None:
        again = self._in_work.pop(due.key)
        if again is not None:
            self.add(again)


class Jobs:
    """Runs so many jobs of each kind at once: no kind holds up another, and owners take turns."""

    def __init__(self, settings: Settings, database: Database, dispatcher: Dispatcher, jobs: Sequence[Job]) -> None:
        self._stop_seconds_max = settings.drain_ms_max / 1000
        self._database = database
        self._dispatcher = dispatcher
        self._lines = {job.name: _Line(job, job.threads or settings.judge_processes) for job in jobs}
        self._workers = Workers()
        self._threads: ThreadPoolExecutor | None = None
        self._runners: list[asyncio.Task[None]] = []
        self._busy: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    async def start(self) -> None:
        """Take up what was left undone."""
        if self._runners:
            return
        self._is_stopping = False
        threads = max(1, sum(line.threads for line in self._lines.values()))
        self._threads = ThreadPoolExecutor(threads, "judge", initializer=release_the_gil_in_gmpy2)
        for line in self._lines.values():
            await self._take_up(line)
        self._runners = [
            asyncio.create_task(self._run(line), name=f"{name}-{number}")
            for name, line in self._lines.items()
            for number in range(line.threads)
        ]
        self._runners += [
            asyncio.create_task(self._look_again(line, line.job.pending_seconds), name=f"{name}-pending")
            for name, line in self._lines.items()
            if line.job.pending_seconds is not None
        ]

    async def stop(self) -> None:
        """Conclude what is being computed, if that takes no longer than `drain_ms_max`; the rest is found in the rows
        at the next start."""
        self._is_stopping = True
        for runner in self._runners:
            if runner not in self._busy:
                runner.cancel()
        if self._busy:
            await asyncio.wait(self._busy, timeout=self._stop_seconds_max)
        for runner in self._runners:
            runner.cancel()
        await asyncio.gather(*self._runners, return_exceptions=True)
        self._runners = []
        await self._workers.stop()
        if self._threads is not None:
            await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
            self._threads = None

    def add(self, due: JobDue) -> None:
        """Queue one, unless its key waits already."""
        self._lines[due.job].add(due)

    async def _take_up(self, line: _Line) -> None:
        for key in await self._database.read(partial(_pending, job=line.job)):
            line.add(JobDue(line.job.name, key))

    async def _look_again(self, line: _Line, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await self._take_up(line)
            except StorageError as error:
                logger.error("storage.failed", order=line.job.name, reason=str(error))
            except Exception:
                logger.exception("job.failed", job=line.job.name, key="")

    async def _run(self, line: _Line) -> None:
        runner = asyncio.current_task()
        assert runner is not None, "this runs as a task"
        while not self._is_stopping:
            due = await line.next()
            self._busy.add(runner)
            try:
                await self._do_or_log(line.job, due)
            finally:
                line.over(due)
                self._busy.discard(runner)

    async def _do_or_log(self, job: Job, due: JobDue) -> None:
        try:
            await self._do(job, due.key)
        except (StorageError, MessageError, WorkerUnstartable) as error:
            logger.error("job.postponed", job=due.job, key=due.key, reason=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            self.add(due)
        except Exception:
            logger.exception("job.failed", job=due.job, key=due.key)

    async def _do(self, job: Job, key: str) -> None:
        work = await self._database.read(lambda reader: job.load(reader, key))
        if work is not None and job.begin is not None:
            work = await self._dispatcher.call(SERVER, job.begin(work))
        if work is None:
            return
        await self._dispatcher.call(SERVER, job.conclude(key, await self._compute(job, work)))

    async def _compute(self, job: Job, work: Any) -> Any:
        if job.by_worker:
            return await self._workers.compute(job.compute, work)
        assert self._threads is not None, "start() comes first"
        return await asyncio.get_running_loop().run_in_executor(self._threads, job.compute, work)


def _pending(reader: Reader, job: Job) -> list[str]:
    return list(job.pending(reader))
