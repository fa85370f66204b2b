"""The embedded database: one SQLite file, one writer connection, a few readers; aiosqlite owns the threads.

A whole batch runs in one hop to the writer's thread: BEGIN, every work, COMMIT (which waits for the disk). A work that
raises after it has written makes the batch run again with a savepoint before each work, and only that one is undone. If
COMMIT fails, the batch is rolled back and each work is run again alone, so one bad work cannot take the others with it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from vault_server.core.operation import Effect, Query, Reader, Refusal, Row, Transaction
from vault_server.storage.database import Outcome, StorageError, Work
from vault_server.storage.queries import for_sqlite
from vault_server.storage.schema import SCHEMA_VERSION, sqlite_script
from vault_server.storage.upgrades import upgrades

T = TypeVar("T")

READERS = 2
BUSY_MS = 5_000
STATEMENTS_CACHED = 512
CACHE_KIBIBYTES = 65_536
CHECKPOINT_PAGES = 4_000

NAME_ANOTHER = "name another file with --database"


_Pick = Callable[[dict[str, Any]], tuple[Any, ...]]


class _Forms(dict[Query, tuple[str, _Pick]]):
    """Each statement as SQLite is given it, and what puts its values in their places; made when it is first run."""

    def __init__(self, *, returns: bool) -> None:
        super().__init__()
        self._returns = returns

    def __missing__(self, query: Query) -> tuple[str, _Pick]:
        sql, names = for_sqlite(query, returns=self._returns)
        form = self[query] = sql, _picker(names)
        return form


def _picker(names: tuple[str, ...]) -> _Pick:
    if len(names) > 1:
        return itemgetter(*names)  # one call for all of them
    return lambda values: tuple(values[name] for name in names)


_FORMS = _Forms(returns=True)
_INSERTS = _Forms(returns=False)


class SqliteTransaction:
    """Rows of one connection, as `core.operation.Transaction`. Lives in the connection's thread."""

    __slots__ = ("_execute", "effects")

    is_alone = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self.effects: list[Effect] = []

    def one(self, query: Query, **values: Any) -> Row | None:
        """The first row, or None."""
        sql, pick = _FORMS[query]
        cursor = self._execute(sql, pick(values))
        row: Row | None = cursor.fetchone()
        if row is not None:
            cursor.close()  # an open cursor would hold its statement, and with INSERT … RETURNING the change
        return row

    def all(self, query: Query, **values: Any) -> Sequence[Row]:
        """All rows."""
        sql, pick = _FORMS[query]
        return self._execute(sql, pick(values)).fetchall()

    def run(self, query: Query, **values: Any) -> int:
        """The number of rows changed."""
        sql, pick = _FORMS[query]
        return self._execute(sql, pick(values)).rowcount

    def insert(self, query: Query, **values: Any) -> int:
        """The number of the row added. The connection knows it: for RETURNING, SQLite would fill a table of its own."""
        sql, pick = _INSERTS[query]
        key = self._execute(sql, pick(values)).lastrowid
        assert key is not None, "an INSERT that does not raise adds its row"
        return key

    def after(self, effect: Effect) -> None:
        """Keep `effect` until the work is on disk."""
        self.effects.append(effect)


class SqliteDatabase:
    """See `storage.database.Database`. `path` is created when it does not exist."""

    writers = 1
    is_shared = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: aiosqlite.Connection | None = None
        self._readers: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        self._opened: list[aiosqlite.Connection] = []
        self._lock: int | None = None
        self._look: Callable[[Reader], None] | None = None

    async def start(self) -> None:
        """Open the file. Raises StorageError, naming it, when it is no database of ours or cannot be written."""
        if self._writer is not None:
            return
        try:
            self._lock = claim(self._path)
            _make_private(self._path)
            self._writer = await self._open()
            await _in_thread(self._writer, _prepare)
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
        finally:
            lock, self._lock = self._lock, None
            if lock is not None:
                os.close(lock)

    async def transact(self, batch: Sequence[Work]) -> list[Outcome]:
        """One transaction for all of `batch`."""
        assert self._writer is not None, "start() comes first"
        return await _in_thread(self._writer, _run_and_look, batch, self._look)

    def listen(self, look: Callable[[Reader], None] | None) -> None:
        """Have `look` see the committed rows behind every transaction, in the writer's thread, their pages at hand."""
        self._look = look

    async def read(self, function: Callable[[Reader], T]) -> T:
        """Run `function` in a reader's thread, on one snapshot."""
        reader = await self._readers.get()
        try:
            return await _in_thread(reader, _run_read, function)
        except sqlite3.Error as error:
            raise _storage_error(error) from error
        finally:
            self._readers.put_nowait(reader)

    def hint(self, topic: str) -> None:
        """There are no other nodes."""

    def heed(self, told: Callable[[str], None] | None) -> None:
        """There are no other nodes."""

    async def _open(self) -> aiosqlite.Connection:
        connection = aiosqlite.connect(
            self._path, isolation_level=None, cached_statements=STATEMENTS_CACHED, timeout=BUSY_MS / 1000
        )
        try:
            await connection
        except BaseException:
            connection._thread.join()  # told to stop, and not waited for: it would trip over the end of the loop
            raise
        self._opened.append(connection)
        connection.row_factory = sqlite3.Row
        await connection.execute("PRAGMA foreign_keys = ON")
        await connection.execute("PRAGMA temp_store = MEMORY")  # else statements with triggers copy pages to a file
        return connection


def claim(path: Path, otherwise: str = NAME_ANOTHER) -> int:
    """Be the one server of this file, until the descriptor is closed or the process is gone.

    Raises StorageError, which ends with `otherwise`, when another one is.

    The lock file stays when the server ends: were it removed, two could hold locks of one name. Not the database file
    itself: SQLite's own locks on it end when any descriptor of it is closed.
    """
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StorageError(f"another server is using it; stop that one, or {otherwise}") from error
    except OSError:
        os.close(lock)
        raise
    return lock


def _make_private(path: Path) -> None:
    """A new file is for its owner alone; SQLite gives what it puts beside it the same mode."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


async def _in_thread(connection: aiosqlite.Connection, function: Callable[..., T], *arguments: Any) -> T:
    # The one private call: a public one per statement would cost a hop per statement. Guarded by a test.
    result: T = await connection._execute(function, connection._conn, *arguments)  # type: ignore[no-untyped-call]
    return result


def _prepare(raw: sqlite3.Connection) -> None:
    version = raw.execute("PRAGMA user_version").fetchone()[0]
    tables = raw.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table'").fetchone()[0]
    scripts = upgrades(version, "sqlite")
    if version == 0 and tables:
        raise StorageError(f"it belongs to another program; {NAME_ANOTHER}")
    raw.execute("PRAGMA journal_mode = WAL").fetchone()
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
    raw.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}").fetchone()
    if version == 0:
        scripts = [sqlite_script()]
    if scripts:
        whole = "\n".join(scripts)
        raw.executescript(f"BEGIN IMMEDIATE;\n{whole}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;")


def _run_read(raw: sqlite3.Connection, function: Callable[[Reader], T]) -> T:
    """Nothing is written, so how the transaction ends is nobody's trouble; only that it ends."""
    _rollback(raw)  # what a failure before may have left
    raw.execute("BEGIN")
    try:
        return function(SqliteTransaction(raw))
    finally:
        _rollback(raw)


def _run_and_look(
    raw: sqlite3.Connection, batch: Sequence[Work], look: Callable[[Reader], None] | None
) -> list[Outcome]:
    outcomes = _run_batch(raw, batch)
    if look is not None:
        with suppress(sqlite3.Error):  # whatever becomes of looking, the batch is on disk
            _run_read(raw, look)
    return outcomes


class _WroteAndRaised(Exception):
    """A work changed rows and then raised: the batch has to be run with a savepoint before each work."""


def _run_batch(raw: sqlite3.Connection, batch: Sequence[Work]) -> list[Outcome]:
    try:
        try:
            return _run_together(raw, batch, _run_one)
        except _WroteAndRaised:
            _rollback(raw)
        return _run_together(raw, batch, _run_in_savepoint)
    except sqlite3.Error as error:
        _rollback(raw)
        if len(batch) == 1:
            return [Outcome(error=_storage_error(error))]
    return [outcome for work in batch for outcome in _run_batch(raw, [work])]


def _run_together(
    raw: sqlite3.Connection, batch: Sequence[Work], run_one: Callable[[sqlite3.Connection, Work], Outcome]
) -> list[Outcome]:
    """One transaction; raises sqlite3.Error when the transaction as a whole is lost."""
    raw.execute("BEGIN IMMEDIATE")
    outcomes = [run_one(raw, work) for work in batch]
    raw.execute("COMMIT")
    return outcomes


def _run_one(raw: sqlite3.Connection, work: Work) -> Outcome:
    """The usual way: a refusal comes before anything is written, so there is nothing to undo.

    Two statements fewer a message; operations are plain functions, so running a batch again is harmless.
    """
    changes = raw.total_changes
    tx = SqliteTransaction(raw)
    try:
        value = work(tx)
    except Exception as error:
        _check_medium(raw, error)
        if raw.total_changes != changes:
            raise _WroteAndRaised from error
        return _raised(error)
    return Outcome(value=value, effects=tx.effects)


def _run_in_savepoint(raw: sqlite3.Connection, work: Work) -> Outcome:
    raw.execute("SAVEPOINT work")
    tx = SqliteTransaction(raw)
    try:
        value = work(tx)
    except Exception as error:
        _check_medium(raw, error)
        raw.execute("ROLLBACK TO work")
        raw.execute("RELEASE work")
        return _raised(error)
    raw.execute("RELEASE work")
    return Outcome(value=value, effects=tx.effects)


def _raised(error: Exception) -> Outcome:
    """A refusal needs no traceback, whose frames would hold the whole batch in a circle until the collector comes."""
    return Outcome(error=error.with_traceback(None) if isinstance(error, Refusal) else error)


def _check_medium(raw: sqlite3.Connection, error: Exception) -> None:
    """Raise when it is the transaction that is lost, not the work that is wrong."""
    if not raw.in_transaction:  # SQLite itself rolled everything back: disk full, input/output error
        raise sqlite3.OperationalError(f"the transaction is gone: {error}") from error
    if isinstance(error, sqlite3.OperationalError):
        raise error  # let the batch be rolled back and each be tried alone


def _rollback(raw: sqlite3.Connection) -> None:
    if raw.in_transaction:
        with suppress(sqlite3.Error):  # if even this fails, the next BEGIN will say so
            raw.execute("ROLLBACK")


def _storage_error(error: sqlite3.Error) -> StorageError:
    cause = error.__cause__ if isinstance(error.__cause__, sqlite3.Error) else error
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    full = code == sqlite3.SQLITE_FULL
    return StorageError("the disk is full" if full else f"the database refused: {cause}", full=full)


_: type[Transaction] = SqliteTransaction
