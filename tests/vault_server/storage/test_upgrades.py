"""An older schema becomes this one in one transaction, or stays as it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.vault_server.conftest import CONNECTIONS, NewDatabase
from tests.vault_server.storage.rows import committed, sql
from vault_server.core.location import PostgresUrl
from vault_server.storage import postgres_schema, sqlite, upgrades
from vault_server.storage.database import Database, StorageError
from vault_server.storage.postgres import PostgresDatabase
from vault_server.storage.schema import SCHEMA_VERSION
from vault_server.storage.sqlite import SqliteDatabase

NEXT, AFTER = SCHEMA_VERSION + 1, SCHEMA_VERSION + 2
GOOD = {
    NEXT: "CREATE TABLE news (x INTEGER); INSERT INTO news VALUES (1);",
    AFTER: "DROP TABLE news;",
}
WIDER = "ALTER TABLE bans ADD COLUMN remark TEXT; UPDATE bans SET remark = 'from before';"


@pytest.fixture
async def older(
    dialect: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> NewDatabase:
    """A database that was made by this server, as the one two versions later finds it."""
    url = request.getfixturevalue("own_postgres_url") if dialect == "postgres" else None

    def new_database() -> Database:
        return SqliteDatabase(tmp_path / "vault.db") if url is None else PostgresDatabase(url, CONNECTIONS)

    made = new_database()
    await made.start()
    ban = "INSERT INTO bans (subject, cause, reason, created_at, until) VALUES ('key:a', 'operator', 'x', 1, 2)"
    await committed(made, lambda tx: tx.run(sql(ban)))
    await made.stop()
    for module in (postgres_schema, sqlite, upgrades):
        monkeypatch.setattr(module, "SCHEMA_VERSION", AFTER)
    return new_database


def know(monkeypatch: pytest.MonkeyPatch, scripts: dict[int, str]) -> None:
    monkeypatch.setattr(upgrades, "script", lambda version, _dialect: scripts.get(version))


async def remarks(database: Database) -> list[str]:
    rows = await database.read(lambda reader: reader.all(sql("SELECT remark FROM bans")))
    return [row["remark"] for row in rows]


async def test_all_scripts_run_and_only_once(older: NewDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    know(monkeypatch, {**GOOD, AFTER: GOOD[AFTER] + WIDER})
    for _ in range(2):
        database = older()
        await database.start()
        assert await remarks(database) == ["from before"]
        await database.stop()


@pytest.mark.parametrize("scripts", [{NEXT: WIDER}, {AFTER: WIDER}, {}], ids=["no last", "no first", "none"])
async def test_without_every_script_it_is_left_as_it_is(
    older: NewDatabase, monkeypatch: pytest.MonkeyPatch, scripts: dict[int, str]
) -> None:
    know(monkeypatch, scripts)
    with pytest.raises(StorageError, match=f"schema version {SCHEMA_VERSION}, of an older server"):
        await older().start()
    await assert_untouched(older, monkeypatch)


async def test_a_script_that_fails_undoes_those_before_it(older: NewDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    know(monkeypatch, {NEXT: WIDER, AFTER: "CREATE TABLE bans (x INTEGER);"})
    with pytest.raises(StorageError):
        await older().start()
    await assert_untouched(older, monkeypatch)


OLD_TRIGGERS = """
CREATE TRIGGER on_task_assignment_end AFTER UPDATE OF status ON task_assignments
WHEN OLD.status IN ('offered', 'accepted') AND NEW.status NOT IN ('offered', 'accepted')
BEGIN
    UPDATE solvers SET in_hand = in_hand - 1 WHERE solver_id = NEW.solver_id;
END;
CREATE TRIGGER on_task_end AFTER UPDATE OF status ON tasks
WHEN OLD.status IN ('waiting', 'assigned') AND NEW.status NOT IN ('waiting', 'assigned')
BEGIN
    UPDATE clients SET open_tasks = open_tasks - 1 WHERE client_id = NEW.client_id;
END
"""
UNDONE_6 = f"""
DROP TRIGGER on_task_assignment_end; DROP TRIGGER on_task_end; {OLD_TRIGGERS};
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, ' DEFERRABLE INITIALLY DEFERRED', '') WHERE name = 'task_assignments';
PRAGMA writable_schema = RESET
"""
UNDONE_6_POSTGRES = """
CREATE OR REPLACE FUNCTION on_task_assignment_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE solvers SET in_hand = in_hand - 1 WHERE solver_id = NEW.solver_id;
    RETURN NEW;
END
$$;
DROP TRIGGER on_task_assignment_end ON task_assignments;
CREATE TRIGGER on_task_assignment_end AFTER UPDATE OF status ON task_assignments
FOR EACH ROW WHEN (OLD.status IN ('offered', 'accepted') AND NEW.status NOT IN ('offered', 'accepted'))
EXECUTE FUNCTION on_task_assignment_end();
CREATE OR REPLACE FUNCTION on_task_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE clients SET open_tasks = open_tasks - 1 WHERE client_id = NEW.client_id;
    RETURN NEW;
END
$$;
ALTER TABLE task_assignments ALTER CONSTRAINT task_assignments_task_id_fkey NOT DEFERRABLE;
ALTER TABLE task_assignments ALTER CONSTRAINT task_assignments_task_key_fkey NOT DEFERRABLE;
ALTER TABLE task_assignments ALTER CONSTRAINT task_assignments_solver_id_fkey NOT DEFERRABLE
"""

UNDONE_5 = """
DROP INDEX outbox_of_webhooks;
ALTER TABLE webhooks DROP COLUMN delivering;
ALTER TABLE webhooks DROP COLUMN attempts;
ALTER TABLE webhooks DROP COLUMN is_slow
"""


def columns_in(path: Path) -> list[object]:
    with closing(sqlite3.connect(path)) as raw:
        indexes = raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name").fetchall()
        return [raw.execute("PRAGMA table_info(webhooks)").fetchall(), indexes]


def columns_at(url: PostgresUrl) -> list[object]:
    told = "SELECT * FROM information_schema.columns WHERE table_name = 'webhooks' ORDER BY column_name"
    with psycopg.connect(url.secret) as raw:
        columns = [row[3:4] + row[5:8] for row in raw.execute(told.encode()).fetchall()]
        indexes = raw.execute("SELECT indexdef FROM pg_indexes ORDER BY indexname").fetchall()
        checks = raw.execute("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' ORDER BY 1")
        return [columns, indexes, checks.fetchall()]


async def test_version_4_of_a_file_becomes_what_a_new_one_is(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    await started_and_stopped(SqliteDatabase(path))
    new = columns_in(path)
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(UNDONE_5 + "; PRAGMA user_version = 4")
    assert columns_in(path) != new
    await started_and_stopped(SqliteDatabase(path))
    assert columns_in(path) == new


async def test_version_4_of_a_postgresql_database_becomes_what_a_new_one_is(own_postgres_url: PostgresUrl) -> None:
    await started_and_stopped(PostgresDatabase(own_postgres_url, CONNECTIONS))
    new = columns_at(own_postgres_url)
    with psycopg.connect(own_postgres_url.secret) as raw:
        raw.execute(f"{UNDONE_5}; UPDATE meta SET value = '4' WHERE name = 'schema_version'".encode())
    assert columns_at(own_postgres_url) != new
    await started_and_stopped(PostgresDatabase(own_postgres_url, CONNECTIONS))
    assert columns_at(own_postgres_url) == new


def schema_in(path: Path) -> list[object]:
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        told = "SELECT name, {} FROM sqlite_master WHERE type = '{}' ORDER BY name"
        keys = raw.execute("SELECT * FROM pragma_foreign_key_list('task_assignments')").fetchall()
        return [
            raw.execute(told.format("sql", "trigger")).fetchall(),
            raw.execute(told.format("replace(sql, '\"', '')", "table")).fetchall(),
            keys,
        ]


def schema_at(url: PostgresUrl) -> list[object]:
    triggers = "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname, tgrelid"
    functions = (
        "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY proname, prosrc"
    )
    keys = "SELECT conname, condeferrable, condeferred FROM pg_constraint WHERE contype = 'f' ORDER BY conname"
    with psycopg.connect(url.secret) as raw:
        return [raw.execute(told.encode()).fetchall() for told in (triggers, functions, keys)]


async def test_version_5_of_a_file_becomes_what_a_new_one_is(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    await started_and_stopped(SqliteDatabase(path))
    new = schema_in(path)
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(UNDONE_6 + "; PRAGMA user_version = 5")
    assert schema_in(path) != new
    await started_and_stopped(SqliteDatabase(path))
    assert schema_in(path) == new


async def test_version_5_of_a_postgresql_database_becomes_what_a_new_one_is(
    own_postgres_url: PostgresUrl,
) -> None:
    await started_and_stopped(PostgresDatabase(own_postgres_url, CONNECTIONS))
    new = schema_at(own_postgres_url)
    with psycopg.connect(own_postgres_url.secret) as raw:
        raw.execute(f"{UNDONE_6_POSTGRES}; UPDATE meta SET value = '5' WHERE name = 'schema_version'".encode())
    assert schema_at(own_postgres_url) != new
    await started_and_stopped(PostgresDatabase(own_postgres_url, CONNECTIONS))
    assert schema_at(own_postgres_url) == new


async def started_and_stopped(database: Database) -> None:
    await database.start()
    await database.stop()


async def assert_untouched(older: NewDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (postgres_schema, sqlite, upgrades):
        monkeypatch.setattr(module, "SCHEMA_VERSION", SCHEMA_VERSION)
    database = older()
    await database.start()
    with pytest.raises(StorageError):
        await remarks(database)
    await database.stop()
