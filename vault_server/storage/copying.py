"""All rows of a SQLite file into a PostgreSQL database, in pieces, so that an interrupted copy can be taken up again.

Until it is whole the target has no schema version, so no server starts on it; its foreign keys are taken away and its
triggers off, since the rows are what they would have made of them. At the end every key is checked as it comes back.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from vault_server.core.location import PostgresUrl
from vault_server.storage.database import StorageError
from vault_server.storage.postgres_schema import COPYING_NAME, VERSION_NAME
from vault_server.storage.postgres_session import plain
from vault_server.storage.schema import SCHEMA_VERSION, postgres_script, tables
from vault_server.storage.snapshot import snapshot
from vault_server.storage.sqlite import claim

ROWS_AT_ONCE = 2_000
WHOLE = "copied_from"
"""The name there afterwards: who runs the copy again learns that it is complete."""

Target = psycopg.Connection[Any]

_KEYS = """
SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype = 'f' AND connamespace = current_schema()::regnamespace ORDER BY conname
"""
_NUMBERED = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = current_schema() AND is_identity = 'YES'
"""


def copy_file(
    path: Path, url: PostgresUrl, copied: Callable[[str, int, int], None], accepted: Callable[[], None]
) -> tuple[dict[str, int], bool]:
    """Every row of the file at `path` into the empty database at `url`, or the rest of an interrupted copy of it.

    No server may use the file meanwhile. `accepted()` is called when the target is known to be for this copy, before
    it is whole; `copied(table, rows, of)` now and then. Returns how many rows of each table were copied, and whether
    all of them were there before. Raises StorageError, naming what is wrong and the next step.
    """
    try:
        lock = claim(path, "name another file with --from")
    except StorageError as error:
        raise StorageError(f"cannot copy from {path}: {error}") from None
    try:
        with snapshot(path), closing(_open(path)) as source, psycopg.connect(url.secret) as target:
            return _copy(source, target, path, copied, accepted)
    except psycopg.Error as error:
        raise StorageError(f"cannot copy into {url}: {url.hide(plain(error))}") from None
    except sqlite3.Error as error:
        raise StorageError(f"cannot copy from {path}: {error}") from None
    finally:
        os.close(lock)


def _copy(
    source: sqlite3.Connection,
    target: Target,
    path: Path,
    copied: Callable[[str, int, int], None],
    accepted: Callable[[], None],
) -> tuple[dict[str, int], bool]:
    source.execute("BEGIN")
    counts = {name: source.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables()}  # noqa: S608
    what = f"{path.resolve()}: {sum(counts.values())} rows"
    is_whole = _is_whole(target, what)
    keys = () if is_whole else _begin(target, what)
    accepted()
    if is_whole:
        return counts, True
    for table, count in counts.items():
        for done in _copy_table(source, target, table):
            copied(table, done, count)
    given = dict(source.execute("SELECT name, seq FROM sqlite_sequence").fetchall())  # also of rows that are gone
    _finish(target, counts, keys, given)
    return counts, False


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _is_there(target: Target) -> bool:
    return bool(target.execute("SELECT to_regclass('meta') IS NOT NULL").fetchone() == (True,))


def _is_whole(target: Target, what: str) -> bool:
    """Whether this very copy was finished before; its rows may have changed since, if it has been served."""
    if not _is_there(target):
        return False
    row = target.execute("SELECT value FROM meta WHERE name = %s", [WHOLE]).fetchone()
    return row == (what,)


def _begin(target: Target, what: str) -> Sequence[Sequence[str]]:
    """Make the tables without their foreign keys, marked as not whole; or find those of an interrupted copy."""
    if _is_there(target):
        row = target.execute("SELECT value FROM meta WHERE name = %s", [COPYING_NAME]).fetchone()
        mark = {} if row is None else json.loads(row[0])
        if mark.get("what") != what:
            raise StorageError("the target is not empty, and does not hold a part of this copy; give it a new database")
        keys: Sequence[Sequence[str]] = mark["keys"]
        return keys
    target.execute(postgres_script().encode())
    keys = target.execute(_KEYS).fetchall()
    for table, name, _ in keys:
        target.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(*map(sql.Identifier, (table, name))))
    for table in tables():
        target.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(sql.Identifier(table)))
    mark = json.dumps({"what": what, "keys": keys})
    target.execute("INSERT INTO meta (name, value) VALUES (%s, %s)", [COPYING_NAME, mark])
    target.commit()
    return keys


def _copy_table(source: sqlite3.Connection, target: Target, table: str) -> Iterator[int]:
    """In the order of rowids, behind as many as are there; each piece is committed whole."""
    columns = [row[1] for row in source.execute(f"PRAGMA table_info({table})")]
    done = _count(target, table)
    chosen = f"SELECT {', '.join(columns)} FROM {table} ORDER BY rowid LIMIT -1 OFFSET {done}"  # noqa: S608
    cursor = source.execute(chosen)
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        _write(target, table, columns, rows)
        target.commit()
        done += len(rows)
        yield done


def _write(target: Target, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    with target.cursor().copy(sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)) as copy:
        for row in rows:
            copy.write_row(row)


def _count(target: Target, table: str) -> int:
    """The mark is the copy's own row."""
    row = target.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert row is not None, "an aggregate has a row"
    return int(row[0]) - (table == "meta")


def _finish(target: Target, counts: dict[str, int], keys: Sequence[Sequence[str]], given: Mapping[str, int]) -> None:
    """Every row is there; foreign keys hold; triggers are on; numbers go on behind the last one given: it is whole."""
    for table, count in counts.items():
        if (there := _count(target, table)) != count:
            raise StorageError(f"the target has {there} rows of {table}, the file {count}; begin with a new database")
    for table, name, definition in keys:
        statement = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} ").format(*map(sql.Identifier, (table, name)))
        target.execute(statement + sql.SQL(definition))
    for table in counts:
        target.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(sql.Identifier(table)))
    for table, column in target.execute(_NUMBERED).fetchall():
        if last := given.get(table):
            target.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", [table, column, last])
    target.execute("ANALYZE")  # without statistics its first lists of many tasks would be sorted whole
    target.execute(
        "INSERT INTO meta (name, value) SELECT %s, value::jsonb ->> 'what' FROM meta WHERE name = %s",
        [WHOLE, COPYING_NAME],
    )
    target.execute("DELETE FROM meta WHERE name = %s", [COPYING_NAME])
    target.execute("INSERT INTO meta (name, value) VALUES (%s, %s)", [VERSION_NAME, str(SCHEMA_VERSION)])
    target.commit()
