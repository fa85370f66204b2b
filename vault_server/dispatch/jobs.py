"""Slow work that rows ask for: read, compute in threads of its own, give the result back as an order.

What a server left undone when it was killed is found in the rows at the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from protocol.errors import MessageError
from vault_server.core.operation import SERVER, Job, JobDue, Reader
from vault_server.dispatch.dispatcher import Dispatcher, release_the_gil_in_gmpy2
from vault_server.dispatch.turns import Turns
from vault_server.settings import Settings
from vault_server.storage.database import Database, StorageError

logger = structlog.get_logger()

RETRY_SECONDS = 1.0


class _Line:
    """What waits of one kind of job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._waiting: Turns[JobDue] = Turns()
        self._count = asyncio.Semaphore(0)

    def add(self, due: JobDue) -> None:
        self._waiting.add(due.owner, due)
        self._count.release()

    async def next(self) -> JobDue:
        await self._count.acquire()
        return self._waiting.next()


class Jobs:
    """Runs `judge_threads` jobs of each kind at once: no kind holds up another, and owners take turns."""

    def __init__(self, settings: Settings, database: Database, dispatcher: Dispatcher, jobs: Sequence[Job]) -> None:
        self._threads_max = settings.judge_threads
        self._database = database
        self._dispatcher = dispatcher
        self._lines = {job.name: _Line(job) for job in jobs}
        self._threads: ThreadPoolExecutor | None = None
        self._runners: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take up what was left undone."""
        if self._runners:
            return
        threads = max(1, self._threads_max * len(self._lines))
        self._threads = ThreadPoolExecutor(threads, "judge", initializer=release_the_gil_in_gmpy2)
        for name, line in self._lines.items():
            for key in await self._database.read(partial(_pending, job=line.job)):
                self.add(JobDue(name, key))
        self._runners = [
            asyncio.create_task(self._run(line), name=f"{name}-{number}")
            for name, line in self._lines.items()
            for number in range(self._threads_max)
        ]

    async def stop(self) -> None:
        """Finish what is being computed; the rest is found in the rows at the next start."""
        for runner in self._runners:
            runner.cancel()
        await asyncio.gather(*self._runners, return_exceptions=True)
        self._runners = []
        if self._threads is not None:
            await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
            self._threads = None

    def add(self, due: JobDue) -> None:
        """Queue one."""
        self._lines[due.job].add(due)

    async def _run(self, line: _Line) -> None:
        while True:
            due = await line.next()
            try:
                await self._do(line.job, due.key)
            except (StorageError, MessageError) as error:
                logger.error("job.postponed", job=due.job, key=due.key, reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                self.add(due)
            except Exception:
                logger.exception("job.failed", job=due.job, key=due.key)

    async def _do(self, job: Job, key: str) -> None:
        work = await self._database.read(lambda reader: job.load(reader, key))
        if work is None:
            return
        assert self._threads is not None, "start() comes first"
        result = await asyncio.get_running_loop().run_in_executor(self._threads, job.compute, work)
        await self._dispatcher.call(SERVER, job.conclude(key, result))


def _pending(reader: Reader, job: Job) -> list[str]:
    return list(job.pending(reader))
