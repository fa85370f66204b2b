"""The database for many nodes: PostgreSQL, a bounded number of connections, each used by one thread at a time.

Each work has a transaction of its own: batches of different order would wait for each other in circles. It locks what
it decides about (`/*for update*/` in the queries), under READ COMMITTED. What fails while the server restarts, moves or
is unreachable is a StorageError, and the next work opens its connection anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg

from vault_server.core.location import PostgresUrl
from vault_server.core.operation import Reader
from vault_server.storage import postgres_schema
from vault_server.storage.database import Database, Lookout, Outcome, StorageError, Work
from vault_server.storage.postgres_hints import Hints
from vault_server.storage.postgres_session import Session, plain
from vault_server.storage.postgres_work import carry_out, error_of

T = TypeVar("T")

READERS = 2
HINTERS = 2
CONNECTIONS_MIN = READERS + HINTERS + 1
WAIT_SECONDS_MAX = 5.0


class PostgresDatabase:
    """See `storage.database.Database`. `connections_max` bounds what one node takes of the server's connections."""

    is_shared = True
    batches_ahead = 1

    def __init__(self, url: PostgresUrl, connections_max: int) -> None:
        assert connections_max >= CONNECTIONS_MIN, "there is one connection at least for each use"
        self.writers = connections_max - READERS - HINTERS
        self._url = url
        self._threads: ThreadPoolExecutor | None = None
        self._writing: asyncio.Queue[Session] = asyncio.Queue()
        self._reading: asyncio.Queue[Session] = asyncio.Queue()
        self._sessions: list[Session] = []
        self._hints = Hints(url)

    async def start(self) -> None:
        """Connect, and make the schema where there is none. Raises StorageError, naming the URL without its secrets."""
        if self._threads is not None:
            return
        self._threads = ThreadPoolExecutor(self.writers + READERS, "postgres")
        self._writing, self._reading = asyncio.Queue(), asyncio.Queue()
        self._sessions = [Session(self._url) for _ in range(self.writers + READERS)]
        for number, session in enumerate(self._sessions):
            (self._writing if number < self.writers else self._reading).put_nowait(session)
        try:
            await self._in_thread(_prepare, self._sessions[0])
        except StorageError as error:
            await self.stop()
            raise StorageError(f"cannot use {self._url} as the database: {error}") from None
        except BaseException:
            await self.stop()
            raise
        await self._hints.start()

    async def stop(self) -> None:
        """Close all connections."""
        await self._hints.stop()
        threads, self._threads = self._threads, None
        sessions, self._sessions = self._sessions, []
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
        for session in sessions:
            session.close()

    async def transact(self, batch: Sequence[Work]) -> list[Outcome]:
        """All works in order, each in a transaction of its own."""
        try:
            session = await _free(self._writing)
        except StorageError as error:
            return [Outcome(error=error) for _ in batch]
        try:
            return await self._in_thread(_carry_out_all, session, batch)
        finally:
            self._writing.put_nowait(session)

    def listen(self, lookout: Lookout | None) -> None:
        """Nobody looks behind the commit: it would cost each transaction a round trip. `read` is the truth."""

    async def read(self, function: Callable[[Reader], T]) -> T:
        """Run `function` on one snapshot."""
        session = await _free(self._reading)
        try:
            return await self._in_thread(_read, session, function)
        finally:
            self._reading.put_nowait(session)

    def hint(self, topic: str) -> None:
        """Have the other nodes look sooner."""
        self._hints.send(topic)

    def heed(self, told: Callable[[str], None] | None) -> None:
        """Have `told` called with the topic of each hint of another node."""
        self._hints.heed(told)

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        assert self._threads is not None, "start() comes first"
        running = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])  # the session is this thread's until it is done
            raise


def is_in_use(url: PostgresUrl) -> bool:
    """Whether a server has served from this database before. Raises StorageError."""
    session = Session(url)
    try:
        if postgres_schema.version_of(session) == 0:
            postgres_schema.check_empty(session)
            return False
        row = session.execute("SELECT count(*) AS keys FROM master_keys").fetchone()
        return row is not None and row["keys"] > 0
    except psycopg.Error as error:
        raise StorageError(f"cannot use {url} as the database: {error_of(error)}") from None
    except StorageError as error:
        raise StorageError(f"cannot use {url} as the database: {error}") from None
    finally:
        session.close()


async def _free(sessions: asyncio.Queue[Session]) -> Session:
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            return await sessions.get()
    except TimeoutError:
        raise StorageError(f"all connections to the database were busy for {WAIT_SECONDS_MAX:.0f} s") from None


def _prepare(session: Session) -> None:
    try:
        postgres_schema.prepare(session)
    except psycopg.Error as error:
        session.end()
        raise StorageError(str(error_of(error))) from None
    except StorageError:
        session.end()
        raise


def _carry_out_all(session: Session, batch: Sequence[Work]) -> list[Outcome]:
    return [carry_out(session, work) for work in batch]


def _read(session: Session, function: Callable[[Reader], T]) -> T:
    """A connection that was lost while it lay idle shows only now: then once more on another."""
    try:
        return _look(session, function)
    except StorageError:
        if not session.is_lost:
            raise
    return _look(session, function)


def _look(session: Session, function: Callable[[Reader], T]) -> T:
    try:
        return function(session.look())
    except psycopg.Error as error:
        session.forget_if_lost(error)
        raise StorageError(f"the database refused: {plain(error)}") from None
    except StorageError as error:
        if isinstance(error.__cause__, psycopg.Error):
            session.forget_if_lost(error.__cause__)
        raise
    finally:
        session.end()


_: type[Database] = PostgresDatabase
