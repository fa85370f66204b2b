"""One connection to PostgreSQL, opened when it is needed and again when it was lost. For one thread at a time.

Nothing that the server or the driver says leaves here with a row's values or the URL's secrets in it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import psycopg
from psycopg import errors
from psycopg.adapt import Loader
from psycopg.rows import DictRow, dict_row
from psycopg.types.numeric import Int8Dumper

from vault_server.core.location import PostgresUrl
from vault_server.core.operation import Effect, Query, Row, Transaction
from vault_server.storage.database import StorageError
from vault_server.storage.queries import for_postgres

CONNECT_SECONDS = 5
SILENCE_SECONDS_MAX = 10
SILENCE_MS_MAX = 15_000
"""A server that has vanished without a word is noticed in seconds, not in the hours of the system's defaults."""
AGAIN_SECONDS = 0.25
"""A server that could not be reached is not tried again for so long: who waits is told at once."""
STATEMENTS_PREPARED = 512
STATEMENT_MS_MAX = 20_000
LOCK_MS_MAX = 2_000
IDLE_MS_MAX = 30_000
TRANSACTION_MS_MAX = 60_000

_SETTINGS = f"""
SET statement_timeout = {STATEMENT_MS_MAX}; SET lock_timeout = {LOCK_MS_MAX};
SET idle_in_transaction_session_timeout = {IDLE_MS_MAX}; SET default_transaction_isolation = 'read committed';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
SELECT set_config('transaction_timeout', '{TRANSACTION_MS_MAX}', false)
WHERE current_setting('server_version_num')::int >= 170000
"""
_BEGIN = "BEGIN; SELECT pg_current_xact_id()::text AS number"
_LOOK = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

LOST = (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow, errors.ReadOnlySqlTransaction)
"""Behind these errors a connection is of no more use, even if it is still open: another server may write by now."""


class _WholeNumber(Loader):
    """Sums of BIGINT come as numeric; here they are numbers like all others."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode()
        return float(text) if "." in text else int(text)


class PostgresTransaction:
    """Rows of one connection, as `core.operation.Transaction`; without `locks` for looking only."""

    __slots__ = ("_cursor", "_locks", "effects")

    is_alone = False

    def __init__(self, cursor: psycopg.Cursor[DictRow], *, locks: bool) -> None:
        self._cursor = cursor
        self._locks = locks
        self.effects: list[Effect] = []

    def one(self, query: Query, **values: Any) -> Row | None:
        """The first row, or None."""
        return self._execute(query, values).fetchone()

    def all(self, query: Query, **values: Any) -> Sequence[Row]:
        """All rows."""
        return self._execute(query, values).fetchall()

    def run(self, query: Query, **values: Any) -> int:
        """The number of rows changed."""
        return self._execute(query, values).rowcount

    def insert(self, query: Query, **values: Any) -> int:
        """The number of the row added."""
        row = self._execute(query, values).fetchone()
        assert row is not None, "INSERT … RETURNING gives the row"
        [key] = row.values()
        return int(key)

    def after(self, effect: Effect) -> None:
        """Keep `effect` until the work is on disk."""
        self.effects.append(effect)

    def _execute(self, query: Query, values: dict[str, Any]) -> psycopg.Cursor[DictRow]:
        sql, names = _form(query, query.postgres, self._locks)
        return self._cursor.execute(sql, [values[name] for name in names])


class PostgresReader(PostgresTransaction):
    """For looking only. What the database refuses is a StorageError at once: no reader is to take it for its own."""

    __slots__ = ()

    def _execute(self, query: Query, values: dict[str, Any]) -> psycopg.Cursor[DictRow]:
        try:
            return super()._execute(query, values)
        except psycopg.Error as error:
            raise StorageError(f"the database refused: {plain(error)}") from error


def plain(error: psycopg.Error) -> str:
    """The first sentence of what was said: the rest of it may hold a row's values."""
    said = error.diag.message_primary or (str(error) if error.sqlstate is None else type(error).__name__)
    return " ".join(said.split())


class Session:
    """`begin` or `look`, then `commit` or `end`. Whatever raises psycopg.Error is to be given to `forget_if_lost`."""

    def __init__(self, url: PostgresUrl) -> None:
        self._url = url
        self._connection: psycopg.Connection[DictRow] | None = None
        self._cursor: psycopg.Cursor[DictRow] | None = None
        self._not_before = 0.0
        self._why_not = ""

    def begin(self) -> tuple[PostgresTransaction, str]:
        """A transaction that writes, and its number, which says later whether it was committed.

        The number is drawn before anything is written: who sees a row knows which transactions were older (pump).
        """
        cursor = self._opened()
        cursor.execute(_BEGIN, prepare=False)
        cursor.nextset()
        row = cursor.fetchone()
        assert row is not None, "a SELECT of a value gives it"
        return PostgresTransaction(cursor, locks=True), row["number"]

    def look(self) -> PostgresReader:
        """A view of what is committed, the same for all its statements."""
        cursor = self._opened()
        cursor.execute(_LOOK, prepare=False)
        return PostgresReader(cursor, locks=False)

    def commit(self) -> None:
        """Have it on disk. What was spoilt by an error that somebody swallowed is not committed: StorageError."""
        assert self._cursor is not None, "begin() comes first"
        self._cursor.execute("COMMIT", prepare=False)
        if self._cursor.statusmessage != "COMMIT":
            raise StorageError("the transaction had failed before it was to be committed")

    def end(self) -> None:
        """Undo what was begun; if even this fails, the connection is given up."""
        if self._connection is None or self._connection.closed:
            self.close()
            return
        try:
            if self._connection.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
                self._connection.execute("ROLLBACK", prepare=False)
        except psycopg.Error:
            self.close()

    def execute(self, sql: str) -> psycopg.Cursor[DictRow]:
        """Statements without values, as they stand."""
        return self._opened().execute(sql, prepare=False)

    def status_of(self, number: str) -> str | None:
        """What became of the transaction with that number: committed, aborted, in progress."""
        cursor = self._opened().execute("SELECT pg_xact_status($1::text::xid8) AS status", [number])
        row = cursor.fetchone()
        return None if row is None else row["status"]

    @property
    def is_lost(self) -> bool:
        """Whether there is no connection, or one that is broken."""
        return self._connection is None or self._connection.closed

    def forget_if_lost(self, error: psycopg.Error) -> None:
        """Give the connection up when it is of no more use; the next transaction opens another one."""
        if self.is_lost or isinstance(error, LOST):
            self.close()

    def close(self) -> None:
        """Hang up."""
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            connection.close()

    def _opened(self) -> psycopg.Cursor[DictRow]:
        if self._cursor is None or self.is_lost:
            self.close()
            if time.monotonic() < self._not_before:
                raise psycopg.OperationalError(self._why_not)
            self._connection = self._open()
            self._cursor = self._connection.cursor()
        return self._cursor

    def _open(self) -> psycopg.Connection[DictRow]:
        try:
            connection = psycopg.Connection.connect(
                self._url.secret,
                autocommit=True,  # transactions are begun here, with one round trip for all that begins them
                cursor_factory=psycopg.RawCursor,
                row_factory=dict_row,
                connect_timeout=CONNECT_SECONDS,
                keepalives_idle=SILENCE_SECONDS_MAX,
                keepalives_interval=SILENCE_SECONDS_MAX // 2,
                keepalives_count=3,
                tcp_user_timeout=SILENCE_MS_MAX,
                application_name="vault-server",
            )
            connection.prepared_max = STATEMENTS_PREPARED
            connection.adapters.register_loader("numeric", _WholeNumber)
            connection.adapters.register_dumper(int, Int8Dumper)  # else each size of a number is a statement of its own
            connection.execute(_SETTINGS, prepare=False)
        except psycopg.Error as error:
            self._not_before, self._why_not = time.monotonic() + AGAIN_SECONDS, self._url.hide(str(error))
            raise psycopg.OperationalError(self._why_not) from None
        return connection


@cache
def _form(query: str, postgres: str | None, locks: bool) -> tuple[str, tuple[str, ...]]:
    return for_postgres(Query("", query, postgres), locks=locks)


_: type[Transaction] = PostgresTransaction
