"""A PostgreSQL database as it is, for looking only: beside running servers, or without one. Never writes a row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from vault_server.core.location import PostgresUrl
from vault_server.core.operation import Invariant, Query, Reader
from vault_server.storage.database import StorageError
from vault_server.storage.postgres_schema import version_of
from vault_server.storage.postgres_session import Session, plain
from vault_server.storage.schema import SCHEMA_VERSION

_UNCHECKED = Query(
    "unchecked_constraints",
    "SELECT conrelid::regclass::text AS place, conname AS name FROM pg_constraint"
    " WHERE NOT convalidated AND connamespace = current_schema()::regnamespace ORDER BY conname",
)
_BROKEN = Query(
    "invalid_indexes",
    "SELECT indrelid::regclass::text AS place, indexrelid::regclass::text AS name FROM pg_index JOIN pg_class c"
    " ON c.oid = indexrelid WHERE NOT indisvalid AND c.relnamespace = current_schema()::regnamespace ORDER BY 2",
)


@contextmanager
def postgres_snapshot(url: PostgresUrl) -> Iterator[Reader]:
    """Committed rows in one consistent view, while the context lasts; nobody is held up.

    Raises StorageError, naming the database without its secrets, when it cannot be reached or is none of ours.
    """
    session = Session(url)
    try:
        _check_version(url, session)
        session.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        yield session.look()
    except psycopg.Error as error:
        raise StorageError(f"{url} cannot be read: {plain(error)}") from None
    finally:
        session.close()


def postgres_soundness() -> list[Invariant]:
    """What PostgreSQL itself can say: rules that it was told not to check, and indexes that it does not trust."""
    return [
        Invariant("PostgreSQL has checked every rule of the schema", _unchecked),
        Invariant("PostgreSQL finds its indexes valid", _broken),
    ]


def _unchecked(reader: Reader) -> Iterator[str]:
    for row in reader.all(_UNCHECKED):
        yield f"{row['place']} may hold rows that break {row['name']}"


def _broken(reader: Reader) -> Iterator[str]:
    for row in reader.all(_BROKEN):
        yield f"index {row['name']} of {row['place']} is not valid"


def _check_version(url: PostgresUrl, session: Session) -> None:
    try:
        version = version_of(session)
    except StorageError as error:
        raise StorageError(f"{url} cannot be read: {error}") from None
    if version == 0:
        raise StorageError(f"{url} is no database of a vault server; name it with --database or VAULT_DATABASE")
    if version != SCHEMA_VERSION:
        raise StorageError(
            f"{url} has schema version {version}, this program knows {SCHEMA_VERSION}; "
            "use the vault-server that serves it"
        )
