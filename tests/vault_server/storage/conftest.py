"""Raw SQL on each of the two databases, with a client and three solvers in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from tests.vault_server.storage.both import Raw
from tests.vault_server.storage.rows import PEOPLE
from vault_server.storage.schema import sqlite_script


@pytest.fixture(params=["sqlite", "postgres"])
def raw(request: pytest.FixtureRequest) -> Iterator[Raw]:
    """The schema with a client and three solvers; gone after the test."""
    if request.param == "postgres":
        face = Raw(request.getfixturevalue("postgres").execute, is_sqlite=False)
        face.run(*PEOPLE)
        yield face
        return
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(sqlite_script())
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("BEGIN")
    face = Raw(connection.execute, is_sqlite=True)
    face.run(*PEOPLE)
    yield face
    connection.close()
