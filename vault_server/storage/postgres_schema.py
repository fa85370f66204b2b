"""The schema in a PostgreSQL database: made when there is none, refused when another version or program made it."""

from __future__ import annotations

import json
import shlex

from vault_server.storage.database import StorageError
from vault_server.storage.postgres_session import Session
from vault_server.storage.schema import SCHEMA_VERSION, postgres_script, tables
from vault_server.storage.upgrades import upgrades

VERSION_NAME = "schema_version"
COPYING_NAME = "copying_from"
"""The name in `meta` of what is being copied into the database, as long as the copy is not whole."""

_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('vault-server schema', 0))"
_OURS = "SELECT to_regclass('meta') IS NOT NULL AND to_regclass('task_assignments') IS NOT NULL AS is_ours"
_VERSION = f"SELECT value FROM meta WHERE name = '{VERSION_NAME}'"  # noqa: S608
_COPYING = f"SELECT value FROM meta WHERE name = '{COPYING_NAME}'"  # noqa: S608
_SET_VERSION = (
    "INSERT INTO meta (name, value) VALUES ('{}', '{}') ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


def prepare(session: Session) -> None:
    """Make or upgrade the schema, in one transaction; nodes that start at once take turns. Raises StorageError."""
    session.begin()
    session.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
    session.execute(_ONE_AT_A_TIME)
    version = version_of(session)
    scripts = upgrades(version, "postgres")
    if version == 0:
        check_empty(session)
        scripts = [postgres_script()]
    for script in scripts:
        session.execute(script)
    if version != SCHEMA_VERSION:
        session.execute(_SET_VERSION.format(VERSION_NAME, SCHEMA_VERSION))
    session.commit()


def version_of(session: Session) -> int:
    """The version of the schema that is there, 0 when there is none. Raises StorageError when it is half copied."""
    row = session.execute(_OURS).fetchone()
    if row is None or not row["is_ours"]:
        return 0
    row = session.execute(_VERSION).fetchone()
    if row is None:
        _check_whole(session)
    return 0 if row is None else int(row["value"])


def _check_whole(session: Session) -> None:
    row = session.execute(_COPYING).fetchone()
    if row is not None:
        path, _, _ = json.loads(row["value"])["what"].rpartition(": ")
        raise StorageError(
            f"a file has been copied into it in part; finish it: vault-server migrate --from {shlex.quote(path)}"
        )


def check_empty(session: Session) -> None:
    """Raises StorageError when another program's tables have the names of ours."""
    names = ", ".join(f"'{name}'" for name in tables())
    found = session.execute(
        f"SELECT relname FROM pg_class WHERE relname IN ({names}) AND relnamespace = current_schema()::regnamespace"  # noqa: S608
    ).fetchone()
    if found is not None:
        raise StorageError(
            f"a table {found['relname']!r} of another program is in it; give the server a database or schema of its own"
        )
