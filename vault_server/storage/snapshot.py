"""A database file as it is, for looking only: beside a running server, or without one. Never writes a row."""

from __future__ import annotations

import os
import pwd
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from vault_server.core.operation import Invariant, Query, Reader
from vault_server.storage.database import StorageError
from vault_server.storage.schema import SCHEMA_VERSION
from vault_server.storage.sqlite_work import BUSY_MS, SqliteTransaction

NAME_IT = "name the file with --database or VAULT_DATABASE"
FAULTS_SHOWN = 100
NO_SHARED_MEMORY = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)

_INTEGRITY = Query("integrity_check", f"PRAGMA integrity_check({FAULTS_SHOWN})")
_FOREIGN_KEYS = Query("foreign_key_check", "PRAGMA foreign_key_check")


@contextmanager
def snapshot(path: Path) -> Iterator[Reader]:
    """Committed rows in one consistent view, while the context lasts; a server that writes meanwhile is not held up.

    Raises StorageError, naming the file and the next step, when it is missing, unreadable, no database of ours, or of
    another schema version.
    """
    _check_access(path)
    try:
        with closing(_open(path)) as raw:
            _check_version(path, raw)
            raw.execute("BEGIN")
            yield SqliteTransaction(raw)
    except sqlite3.DatabaseError as error:
        raise StorageError(f"{path} cannot be read as a database: {error}; {NAME_IT}") from error


def soundness() -> list[Invariant]:
    """What SQLite itself can say of a file: its pages and indexes, and rows that point nowhere.

    Of a file opened for reading alone it does not even load the CHECKs: what they say is said by systems' invariants.
    """
    return [
        Invariant("SQLite finds pages and indexes sound", _integrity),
        Invariant("no row points at a row that is not there", _dangling),
    ]


def violations(reader: Reader, invariant: Invariant, count_max: int) -> list[str]:
    """What breaks `invariant`, at most `count_max` of it. Rows that a damaged file cannot give break it, too."""
    try:
        return list(islice(invariant.violations(reader), count_max))
    except sqlite3.DatabaseError as error:
        return [f"the file cannot be read here: {error}"]


def _integrity(reader: Reader) -> Iterator[str]:
    for row in reader.all(_INTEGRITY):
        if row["integrity_check"] != "ok":
            yield row["integrity_check"]


def _dangling(reader: Reader) -> Iterator[str]:
    for row in reader.all(_FOREIGN_KEYS):
        yield f"{row['table']} row {row['rowid']} points into {row['parent']}, where there is no such row"


def _check_access(path: Path) -> None:
    try:
        is_there = path.exists()
    except PermissionError:
        raise StorageError(f"you may not look into {path.parent}; run this as its owner, or {NAME_IT}") from None
    if not is_there:
        raise StorageError(f"there is no database {path}; {NAME_IT}, or start one: vault-server serve")
    if not path.is_file():
        raise StorageError(f"{path} is no file; {NAME_IT}")
    if not os.access(path, os.R_OK):
        raise StorageError(f"{path} belongs to {_owner(path)} and you may not read it; run this as {_owner(path)}")


def _owner(path: Path) -> str:
    number = path.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _open(path: Path) -> sqlite3.Connection:
    """Reading a file in write-ahead mode needs its shared memory beside it; where none can be made and there is no log,
    the file alone is the whole truth."""
    for options in ("mode=ro", "mode=ro&immutable=1"):
        raw = sqlite3.connect(
            f"{path.absolute().as_uri()}?{options}", uri=True, isolation_level=None, timeout=BUSY_MS / 1000
        )
        raw.row_factory = sqlite3.Row
        try:
            raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError as error:
            raw.close()
            if error.sqlite_errorcode & 0xFF not in NO_SHARED_MEMORY or _has_log(path):
                raise
        except sqlite3.DatabaseError:
            raw.close()
            raise
        else:
            return raw
    raise StorageError(f"{path} cannot be opened; {NAME_IT}")


def _has_log(path: Path) -> bool:
    """Whether somebody writes, or has left something to read, beside the file."""
    path = path.resolve()  # it lies beside the file itself, not beside a link to it
    return path.with_name(path.name + "-wal").exists()


def _check_version(path: Path, raw: sqlite3.Connection) -> None:
    version = raw.execute("PRAGMA user_version").fetchone()[0]
    is_ours = raw.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'task_assignments'").fetchone()
    if version == 0 or is_ours is None:
        raise StorageError(f"{path} is no database of a vault server; {NAME_IT}")
    if version != SCHEMA_VERSION:
        raise StorageError(
            f"{path} has schema version {version}, this program knows {SCHEMA_VERSION}; "
            "use the vault-server that serves it"
        )
