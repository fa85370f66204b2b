"""What an older schema needs to become this one: a script for each version, in each dialect.

A script stands in `upgrades/VERSION.DIALECT.sql`, named after the version that it leads to; all that are needed run in
one transaction. Where one is missing there is no way from the version before it.
"""

from __future__ import annotations

from importlib import resources

from vault_server.storage.database import StorageError
from vault_server.storage.schema import SCHEMA_VERSION


def upgrades(version: int, dialect: str) -> list[str]:
    """The scripts that lead from `version` to this server's, in order; none from 0, which is no schema at all.

    Raises StorageError when there is no way, also when the version is newer than this server's.
    """
    if version > SCHEMA_VERSION:
        raise StorageError(f"it has schema version {version}; this server knows {SCHEMA_VERSION}: upgrade the server")
    steps = range(version + 1, SCHEMA_VERSION + 1) if version else ()
    scripts = [script(step, dialect) for step in steps]
    if None in scripts:
        raise StorageError(
            f"it has schema version {version}, of an older server; this one needs {SCHEMA_VERSION} and knows no way"
            " there: keep the older server for it, or name another one with --database"
        )
    return [text for text in scripts if text is not None]


def script(version: int, dialect: str) -> str | None:
    """What leads to `version` from the one before it, if there is such a script."""
    file = resources.files("vault_server") / "storage" / "upgrades" / f"{version}.{dialect}.sql"
    return file.read_text(encoding="utf-8") if file.is_file() else None
