"""Servers that the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.vault_server.conftest import uri_of
from tests.vault_server.web.hive.rest_server import RestServer, on_postgres, on_sqlite
from vault_server.core.location import PostgresUrl


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """A server on SQLite."""
    started = on_sqlite(tmp_path_factory.mktemp("rest"))
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def rest_on_both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """A server on SQLite, then one on PostgreSQL."""
    folder = tmp_path_factory.mktemp("rest")
    if request.param == "sqlite":
        started = on_sqlite(folder)
        started.start()
        yield started
        started.stop()
        return
    postgres: str = request.getfixturevalue("postgres_uri")
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute("CREATE DATABASE rest")
        started = on_postgres(folder, PostgresUrl(uri_of(postgres, "rest")))
        started.start()
        yield started
        started.stop()
        admin.execute("DROP DATABASE rest WITH (FORCE)")
