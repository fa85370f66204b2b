"""A file in which something of everything has happened, copied into PostgreSQL: whole, also after interruptions."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.vault_server.conftest import CONNECTIONS
from tests.vault_server.storage.rows import committed, sql
from tests.vault_server.systems.vault.told import tell
from vault_server.core.location import PostgresUrl
from vault_server.storage import copying
from vault_server.storage.copying import copy_file
from vault_server.storage.database import StorageError
from vault_server.storage.postgres import PostgresDatabase
from vault_server.storage.postgres_schema import COPYING_NAME
from vault_server.storage.postgres_snapshot import postgres_snapshot
from vault_server.storage.schema import SCHEMA_VERSION, tables
from vault_server.storage.sqlite import SqliteDatabase


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tell(tmp_path_factory.mktemp("told"))


@pytest.fixture
def target(own_postgres_url: PostgresUrl) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(own_postgres_url.secret, autocommit=True) as connection:
        yield connection


def rows_of_file(path: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as raw:
        return sorted(raw.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def rows_of_target(target: psycopg.Connection[Any], table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    where = "WHERE name NOT IN ('schema_version', 'copied_from')" if table == "meta" else ""
    return sorted(target.execute(f"SELECT {columns} FROM {table} {where}").fetchall(), key=repr)


def assert_same(path: Path, target: psycopg.Connection[Any]) -> None:
    for table in tables():
        with closing(sqlite3.connect(path)) as raw:
            columns = ", ".join(row[1] for row in raw.execute(f"PRAGMA table_info({table})"))
        assert rows_of_target(target, table, columns) == rows_of_file(path, table), table


def ignore(_table: str, _rows: int, _of: int) -> None:
    """Nobody looks."""


def nothing() -> None:
    """Nothing hangs on it."""


def test_every_row_arrives_and_every_rule_stands(
    told: Path, own_postgres_url: PostgresUrl, target: psycopg.Connection[Any]
) -> None:
    counts, was_whole = copy_file(told, own_postgres_url, ignore, nothing)
    assert not was_whole
    assert counts["tasks"] > 4
    assert_same(told, target)
    [(marks,)] = target.execute("SELECT count(*) FROM meta WHERE name = %s", [COPYING_NAME]).fetchall()
    assert marks == 0
    off = target.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'O'").fetchall()
    assert off == []
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        target.execute("INSERT INTO clients (client_id) VALUES ('nobody')")
    with pytest.raises(psycopg.IntegrityError, match="append-only"):
        target.execute("DELETE FROM score_history")
    with postgres_snapshot(own_postgres_url) as reader:
        assert reader.one(sql("SELECT count(*) AS n FROM tasks")) == {"n": counts["tasks"]}


async def test_numbers_go_on_behind_the_last_that_was_ever_given(tmp_path: Path, own_postgres_url: PostgresUrl) -> None:
    push = sql("INSERT INTO outbox (receiver, endpoint, kind, subject, created_at) VALUES ('a', 'b', 'c', 'd', 1)")
    source = SqliteDatabase(tmp_path / "vault.db")
    await source.start()
    for _ in range(3):
        await committed(source, lambda tx: tx.run(push))
    await committed(source, lambda tx: tx.run(sql("DELETE FROM outbox")))
    await source.stop()
    copy_file(tmp_path / "vault.db", own_postgres_url, ignore, nothing)
    database = PostgresDatabase(own_postgres_url, CONNECTIONS)
    await database.start()
    try:
        await committed(database, lambda tx: tx.run(push))
        [row] = await database.read(lambda reader: reader.all(sql("SELECT seq FROM outbox")))
        assert row["seq"] == 4
    finally:
        await database.stop()


async def test_it_goes_on_after_interruptions_anywhere(
    told: Path, own_postgres_url: PostgresUrl, target: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "ROWS_AT_ONCE", 2)
    pieces = 0

    class Interrupted(Exception):
        pass

    def interrupt(_table: str, _rows: int, _of: int) -> None:
        nonlocal pieces
        pieces += 1
        if pieces % 5 == 0:
            raise Interrupted

    interruptions = 0
    while True:
        try:
            copy_file(told, own_postgres_url, interrupt, nothing)
        except Interrupted:
            interruptions += 1
            if interruptions == 1:  # no server starts on what is not whole
                with pytest.raises(StorageError, match="finish it: vault-server migrate --from"):
                    await PostgresDatabase(own_postgres_url, CONNECTIONS).start()
        else:
            break
    assert interruptions > 3
    assert_same(told, target)


def test_a_target_that_is_not_empty_is_left_alone(
    told: Path, own_postgres_url: PostgresUrl, target: psycopg.Connection[Any], tmp_path: Path
) -> None:
    copy_file(told, own_postgres_url, ignore, nothing)
    other = Path(shutil.copy(told, tmp_path))
    accepted: list[str] = []
    with pytest.raises(StorageError, match="not empty"):
        copy_file(other, own_postgres_url, ignore, lambda: accepted.append("accepted"))
    assert accepted == []
    assert_same(told, target)


def test_a_copy_that_is_whole_is_recognised_and_stays(
    told: Path, own_postgres_url: PostgresUrl, target: psycopg.Connection[Any]
) -> None:
    first, _ = copy_file(told, own_postgres_url, ignore, nothing)
    accepted: list[str] = []
    again = copy_file(told, own_postgres_url, ignore, lambda: accepted.append("accepted"))
    assert again == (first, True)
    assert accepted == ["accepted"]  # a first run that was killed may have left something to do
    assert_same(told, target)


def test_what_hangs_on_the_copy_is_done_before_it_is_whole(
    told: Path, own_postgres_url: PostgresUrl, target: psycopg.Connection[Any]
) -> None:
    names: list[list[tuple[Any, ...]]] = []
    look = "SELECT name FROM meta WHERE name IN ('schema_version', 'copying_from')"
    copy_file(told, own_postgres_url, ignore, lambda: names.append(target.execute(look).fetchall()))
    assert names == [[(COPYING_NAME,)]]


async def test_a_file_that_is_being_served_is_not_copied(tmp_path: Path, own_postgres_url: PostgresUrl) -> None:
    serving = SqliteDatabase(tmp_path / "vault.db")
    await serving.start()
    with pytest.raises(
        StorageError, match=r"cannot copy from .*another server is using it; stop that one, or .* --from$"
    ):
        copy_file(tmp_path / "vault.db", own_postgres_url, ignore, nothing)
    await serving.stop()
    assert copy_file(tmp_path / "vault.db", own_postgres_url, ignore, nothing)[0]["tasks"] == 0


def test_what_cannot_be_reached_is_said_without_the_password(told: Path) -> None:
    with pytest.raises(StorageError, match="cannot copy into postgresql://ann") as refused:
        copy_file(told, PostgresUrl("postgresql://ann:geheim@127.0.0.1:1/vault"), ignore, nothing)
    assert "geheim" not in str(refused.value)


def test_the_version_is_that_of_the_schema(told: Path, own_postgres_url: PostgresUrl) -> None:
    copy_file(told, own_postgres_url, ignore, nothing)
    with psycopg.connect(own_postgres_url.secret) as connection:
        row = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    assert row == (str(SCHEMA_VERSION),)
