"""A batch on one SQLite connection: BEGIN, every work, COMMIT.

A work that raises after it has written makes the batch run again with a savepoint before each work, and only that one
is undone. If COMMIT fails, the batch is rolled back and each work is run again alone, so one bad work cannot take the
others with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from types import MappingProxyType
from typing import Any, TypeVar

from vault_server.core.operation import Effect, Query, Reader, Refusal, Row, Transaction
from vault_server.storage.database import Lookout, Outcome, StorageError, Work
from vault_server.storage.queries import for_sqlite

T = TypeVar("T")

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


BUSY_MS = 5_000
STATEMENTS_CACHED = 512
CACHE_KIBIBYTES = 65_536
CHECKPOINT_PAGES = 4_000

CONNECTION: Mapping[str, Any] = MappingProxyType(
    {"isolation_level": None, "cached_statements": STATEMENTS_CACHED, "timeout": BUSY_MS / 1000}
)
"""How every connection is made."""


def set_up(raw: sqlite3.Connection) -> None:
    """What every connection needs."""
    raw.row_factory = sqlite3.Row
    raw.execute("PRAGMA foreign_keys = ON")
    raw.execute("PRAGMA temp_store = MEMORY")  # else statements with triggers copy pages to a file


def set_up_writer(raw: sqlite3.Connection, synchronous: str = "FULL") -> None:
    """What a connection that writes needs beside. FULL: COMMIT waits for the disk. NORMAL: only checkpoints do, and
    whoever commits sees to the rest (commits.py).
    """
    raw.execute("PRAGMA journal_mode = WAL").fetchone()
    raw.execute(f"PRAGMA synchronous = {synchronous}")
    raw.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
    raw.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}").fetchone()


class SqliteTransaction:
    """Rows of one connection, as `core.operation.Transaction`. Lives in the connection's thread.

    One cursor does for all statements, which are over when their method returns; a new one for each costs a tenth more.
    """

    __slots__ = ("_execute", "effects")

    is_alone = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.cursor().execute
        self.effects: list[Effect] = []

    def one(self, query: Query, **values: Any) -> Row | None:
        """The first row, or None."""
        sql, pick = _FORMS[query]
        rows = self._execute(sql, pick(values)).fetchall()  # all: a statement that has rows left would stay open
        return rows[0] if rows else None

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


def run_read(raw: sqlite3.Connection, function: Callable[[Reader], T]) -> T:
    """Nothing is written, so how the transaction ends is nobody's trouble; only that it ends."""
    rollback(raw)  # what a failure before may have left
    raw.execute("BEGIN")
    try:
        return function(SqliteTransaction(raw))
    finally:
        rollback(raw)


def run_and_look(
    raw: sqlite3.Connection, batch: Sequence[Work], lookout: Lookout | None, news: Any
) -> tuple[list[Outcome], Any]:
    """What became of each work, and what `lookout` has seen behind the commit."""
    outcomes = run_batch(raw, batch)
    if lookout is None:
        return outcomes, None
    lookout.learn(news)
    return outcomes, look_out(raw, lookout)


def look_out(raw: sqlite3.Connection, lookout: Lookout) -> Any:
    """Whatever becomes of looking, the batch is on disk."""
    with suppress(sqlite3.Error):
        return run_read(raw, lookout.look)
    return None


class _WroteAndRaised(Exception):
    """A work changed rows and then raised: the batch has to be run with a savepoint before each work."""


def _nothing() -> None:
    pass


def run_batch(
    raw: sqlite3.Connection, batch: Sequence[Work], committing: Callable[[], None] = _nothing
) -> list[Outcome]:
    """What became of each work; what succeeded is committed. `committing` is called before every COMMIT."""
    try:
        try:
            return _run_together(raw, batch, _run_one, committing)
        except _WroteAndRaised:
            rollback(raw)
        return _run_together(raw, batch, _run_in_savepoint, committing)
    except sqlite3.Error as error:
        rollback(raw)
        if len(batch) == 1 or _is_busy(error):
            return [Outcome(error=storage_error(error)) for _ in batch]
    return [outcome for work in batch for outcome in run_batch(raw, [work], committing)]


def _run_together(
    raw: sqlite3.Connection,
    batch: Sequence[Work],
    run_one: Callable[[sqlite3.Connection, Work], Outcome],
    committing: Callable[[], None],
) -> list[Outcome]:
    """One transaction; raises sqlite3.Error when the transaction as a whole is lost."""
    raw.execute("BEGIN IMMEDIATE")
    outcomes = [run_one(raw, work) for work in batch]
    committing()
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


def rollback(raw: sqlite3.Connection) -> None:
    """End whatever transaction is open."""
    if raw.in_transaction:
        with suppress(sqlite3.Error):  # if even this fails, the next BEGIN will say so
            raw.execute("ROLLBACK")


def _is_busy(error: sqlite3.Error) -> bool:
    """Whether another program keeps the file locked: each work alone would wait as long as all have together."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def storage_error(error: sqlite3.Error) -> StorageError:
    """How the contract says it."""
    cause = error.__cause__ if isinstance(error.__cause__, sqlite3.Error) else error
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    full = code == sqlite3.SQLITE_FULL
    return StorageError("the disk is full" if full else f"the database refused: {cause}", full=full)


_: type[Transaction] = SqliteTransaction
