"""The database that the settings name, ready to be started."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from vault_server.core.location import Location, PostgresUrl
from vault_server.core.operation import Invariant, Reader
from vault_server.storage.database import Database, StorageError
from vault_server.storage.snapshot import snapshot, soundness
from vault_server.storage.sqlite import SqliteDatabase

try:
    from vault_server.storage.copying import copy_file
    from vault_server.storage.postgres import PostgresDatabase, is_in_use
    from vault_server.storage.postgres_snapshot import postgres_snapshot, postgres_soundness
except ModuleNotFoundError as missing:  # an extra that an embedded server does without
    if missing.name != "psycopg":
        raise
    HAS_POSTGRES = False
else:
    HAS_POSTGRES = True


def open_database(location: Location, connections_max: int) -> Database:
    """Not started. Raises StorageError when its driver is not installed."""
    if not isinstance(location, PostgresUrl):
        return SqliteDatabase(location)
    _check_driver()
    return PostgresDatabase(location, connections_max)


def is_used(location: Location) -> bool:
    """Whether a server has served from it before: then its keys exist somewhere. Raises StorageError."""
    if not isinstance(location, PostgresUrl):
        return location.exists()
    _check_driver()
    return is_in_use(location)


def looking_at(location: Location) -> AbstractContextManager[Reader]:
    """Its committed rows in one view, for looking only. Raises StorageError, when entered too."""
    if not isinstance(location, PostgresUrl):
        return snapshot(location)
    _check_driver()
    return postgres_snapshot(location)


def copy_up(
    path: Path, url: PostgresUrl, copied: Callable[[str, int, int], None], accepted: Callable[[], None]
) -> tuple[dict[str, int], bool]:
    """See `copying.copy_file`. Raises StorageError."""
    _check_driver()
    return copy_file(path, url, copied, accepted)


def soundness_of(location: Location) -> list[Invariant]:
    """What the database itself can say of how sound it is."""
    return postgres_soundness() if isinstance(location, PostgresUrl) else soundness()


def _check_driver() -> None:
    if not HAS_POSTGRES:
        raise StorageError("PostgreSQL needs a driver; install it: pip install 'vault-server[postgres]'")
