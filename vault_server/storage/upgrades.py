"""What an older schema needs to become this one: a script for each version, in each dialect.

A script stands in `upgrades/<version it leads to>.<dialect>.sql`. A version without a script cannot be reached from
the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

from vault_server.storage.database import StorageError
from vault_server.storage.schema import SCHEMA_VERSION


def upgrades(version: int, dialect: str) -> Iterator[str]:
    """The scripts that lead from `version` to this server's, in order; none from 0, which is no schema at all.

    Raises StorageError when there is no way.
    """
    if version == 0:
        return
    folder = resources.files("vault_server") / "storage" / "upgrades"
    for step in range(version + 1, SCHEMA_VERSION + 1):
        script = folder / f"{step}.{dialect}.sql"
        if not script.is_file():
            raise StorageError(
                f"it has schema version {version}, of an older server; this one needs {SCHEMA_VERSION} and cannot"
                f" upgrade it: keep the older server for it, or give this one another database"
            )
        yield script.read_text(encoding="utf-8")
