"""The embedded database: one SQLite file, one writer, a few readers; aiosqlite owns the readers' threads.

A whole batch is one hop to the writer and one transaction (sqlite_work.py). The writer is a process of its own
(writer_process.py) where `fork` was called before the first thread began, else a thread.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from vault_server.core.operation import Reader
from vault_server.storage.database import Lookout, Outcome, StorageError, Work
from vault_server.storage.schema import SCHEMA_VERSION, sqlite_script
from vault_server.storage.sqlite_work import (
    CONNECTION,
    run_and_look,
    run_read,
    set_up,
    set_up_writer,
    storage_error,
)
from vault_server.storage.upgrades import upgrades
from vault_server.storage.writer_process import BATCHES_MAX, WORKS_MAX, WriterProcess

T = TypeVar("T")

READERS = 2

NAME_ANOTHER = "name another file with --database"

PATIENCE_SECONDS = 2.0
"""How long a writer that is about to end with its killed server may still hold the file."""
LOOK_SECONDS = 0.01


class SqliteDatabase:
    """See `storage.database.Database`. `path` is created when it does not exist."""

    writers = 1
    is_shared = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.resolve()  # SQLite puts its log beside the file itself, not beside a link to it
        self._writer: aiosqlite.Connection | None = None
        self._readers: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        self._opened: list[aiosqlite.Connection] = []
        self._lock: int | None = None
        self._lookout: Lookout | None = None
        self._process: WriterProcess | None = None

    @property
    def batches_ahead(self) -> int:
        """How many it takes at once: what has arrived while one was written is the next transaction."""
        return 1 if self._process is None else BATCHES_MAX

    def fork(
        self, lookout: Lookout, bind: Callable[[Work], Work], begin: Callable[[], None], works_max: int = WORKS_MAX
    ) -> None:
        """Have a process of its own write, until `stop`. Before there are threads, and before `start`.

        There, `begin` is called first, `bind` makes a work whole that was pickled on the way, and a copy of `lookout`
        looks. What has arrived of batches is one transaction, up to `works_max`. Raises StorageError.
        """
        try:
            self._lock = claim(self._path)
            self._process = WriterProcess.fork(self._file, lookout, bind, begin, works_max)
        except OSError as error:
            raise StorageError(f"cannot use {self._path} as the database: {error}; {NAME_ANOTHER}") from error
        except StorageError as error:
            raise StorageError(f"cannot use {self._path} as the database: {error}") from error

    @property
    def lost(self) -> asyncio.Future[str] | None:
        """Done, with the reason, when the writer's process has ended by itself: nothing can be written any more."""
        return None if self._process is None else self._process.lost

    async def start(self) -> None:
        """Open the file. Raises StorageError, naming it, when it is no database of ours or cannot be written."""
        if self._writer is not None:
            return
        try:
            if self._lock is None:
                self._lock = claim(self._path)
            _make_private(self._file)
            self._writer = await self._open()
            await _in_thread(self._writer, _prepare)
            if self._process is not None:
                await self._opened.pop().close()  # the file is what it should be; from here on the process writes
                await self._process.start()
            for _ in range(READERS):
                reader = await self._open()
                await reader.execute("PRAGMA query_only = ON")
                self._readers.put_nowait(reader)
        except (sqlite3.Error, OSError) as error:
            await self.stop()
            raise StorageError(f"cannot use {self._path} as the database: {error}; {NAME_ANOTHER}") from error
        except StorageError as error:
            await self.stop()
            raise StorageError(f"cannot use {self._path} as the database: {error}") from error

    async def stop(self) -> None:
        """Close all connections; the write-ahead log is folded into the file."""
        self._writer = None
        self._readers = asyncio.Queue()
        opened, self._opened = self._opened, []
        try:
            for connection in reversed(opened):
                await connection.close()
            if self._process is not None:
                await self._process.stop()
        finally:
            lock, self._lock = self._lock, None
            if lock is not None:
                os.close(lock)

    async def transact(self, batch: Sequence[Work]) -> list[Outcome]:
        """One transaction for all of `batch`."""
        assert self._writer is not None, "start() comes first"
        lookout = self._lookout
        news = None if lookout is None else lookout.news()
        if self._process is not None:
            return await self._process.transact(batch, lookout, news)
        outcomes, seen = await _in_thread(self._writer, run_and_look, batch, lookout, news)
        if lookout is not None:
            lookout.saw(seen)
        return outcomes

    def listen(self, lookout: Lookout | None) -> None:
        """Have `lookout` see the committed rows behind every transaction, where it was written."""
        self._lookout = lookout

    async def read(self, function: Callable[[Reader], T]) -> T:
        """Run `function` in a reader's thread, on one snapshot."""
        reader = await self._readers.get()
        process = self._process
        try:
            if process is None:
                return await _in_thread(reader, run_read, function)
            result: T
            result, commits = await _in_thread(reader, _read_and_ask, function, process.commits_begun)
        except sqlite3.Error as error:
            raise storage_error(error) from error
        finally:
            self._readers.put_nowait(reader)
        await process.until_on_disk(commits)
        return result

    def hint(self, topic: str) -> None:
        """There are no other nodes."""

    def heed(self, told: Callable[[str], None] | None) -> None:
        """There are no other nodes."""

    async def _open(self) -> aiosqlite.Connection:
        connection = aiosqlite.connect(self._file, **CONNECTION)
        try:
            await connection
        except BaseException:
            connection._thread.join()  # told to stop, and not waited for: it would trip over the end of the loop
            raise
        self._opened.append(connection)
        await _in_thread(connection, set_up)
        return connection


def claim(path: Path, otherwise: str = NAME_ANOTHER) -> int:
    """Be the one server of this file, by whatever name, until the descriptor is closed or the process is gone.

    Raises StorageError, which ends with `otherwise`, when another one is, and still is after PATIENCE_SECONDS.

    The lock file stays when the server ends: were it removed, two could hold locks of one name. Not the database file
    itself: SQLite's own locks on it end when any descriptor of it is closed.
    """
    path = path.resolve()
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    give_up = time.monotonic() + PATIENCE_SECONDS
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError as error:
                if time.monotonic() > give_up:
                    raise StorageError(f"another server is using it; stop that one, or {otherwise}") from error
                time.sleep(LOOK_SECONDS)
    except BaseException:
        os.close(lock)
        raise


def _make_private(path: Path) -> None:
    """A new file is for its owner alone; SQLite gives what it puts beside it the same mode."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


async def _in_thread(connection: aiosqlite.Connection, function: Callable[..., T], *arguments: Any) -> T:
    # The one private call: a public one per statement would cost a hop per statement. Guarded by a test.
    result: T = await connection._execute(function, connection._conn, *arguments)  # type: ignore[no-untyped-call]
    return result


def _read_and_ask(
    raw: sqlite3.Connection, function: Callable[[Reader], T], commits: Callable[[], int]
) -> tuple[T, int]:
    """What was read, and how many commits may have been seen: asked behind the first row, which takes the view."""
    return run_read(raw, function), commits()


def _prepare(raw: sqlite3.Connection) -> None:
    version = raw.execute("PRAGMA user_version").fetchone()[0]
    tables = raw.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table'").fetchone()[0]
    scripts = upgrades(version, "sqlite")
    if version == 0 and tables:
        raise StorageError(f"it belongs to another program; {NAME_ANOTHER}")
    set_up_writer(raw)
    if version == 0:
        scripts = [sqlite_script()]
    if scripts:
        whole = "\n".join(scripts)
        raw.executescript(f"BEGIN IMMEDIATE;\n{whole}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;")
