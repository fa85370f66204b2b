"""schema.sql and every query on a real PostgreSQL, beside what SQLite makes of the same text."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from typing import Any

import psycopg
import pytest

from tests.vault_server.storage.test_queries import every_query
from vault_server.core.operation import Query
from vault_server.storage.queries import for_postgres
from vault_server.storage.schema import schema_text, sqlite_script


def rows(connection: psycopg.Connection[Any], sql: str) -> set[tuple[Any, ...]]:
    return set(connection.execute(sql).fetchall())


@pytest.fixture
def sqlite() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as raw:
        raw.executescript(sqlite_script())
        yield raw


def test_it_is_postgres_18(postgres: psycopg.Connection[Any]) -> None:
    assert postgres.info.server_version // 10_000 == 18


COLUMNS = (
    "SELECT table_name, column_name FROM information_schema.columns"
    " JOIN information_schema.tables USING (table_schema, table_name)"
    " WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND is_generated = 'NEVER'"
)
ONE_DIALECTS_TABLES = ("hive_tasks_text",)
"""What SQLite needs tables for and PostgreSQL a generated column: the search for words."""
ONE_DIALECTS_TRIGGERS = {
    "score_history_is_never_emptied",  # SQLite has no TRUNCATE
    "credit_transactions_are_never_emptied",
    "vote_keeps_what_it_is",  # a CHECK of SQLite's triggers is one of PostgreSQL's rules, and the other way round
    "contributor_link_stays_one",
}


def columns_of_sqlite(sqlite: sqlite3.Connection, where: str = "true") -> set[tuple[Any, ...]]:
    found = sqlite.execute(
        "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c"
        f" WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND {where}"
    )
    return {(table, column) for table, column in found if not table.startswith(ONE_DIALECTS_TABLES)}


def test_both_have_the_same_tables_and_columns(postgres: psycopg.Connection[Any], sqlite: sqlite3.Connection) -> None:
    assert rows(postgres, COLUMNS) == columns_of_sqlite(sqlite) != set()


def test_both_require_the_same_columns(postgres: psycopg.Connection[Any], sqlite: sqlite3.Connection) -> None:
    required = columns_of_sqlite(sqlite, '(c."notnull" OR c.pk)')
    assert rows(postgres, f"{COLUMNS} AND is_nullable = 'NO'") == required


def test_both_have_the_same_triggers(postgres: psycopg.Connection[Any], sqlite: sqlite3.Connection) -> None:
    there = rows(postgres, "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal")
    here = set(sqlite.execute("SELECT name, tbl_name FROM sqlite_schema WHERE type = 'trigger'"))
    assert {name for name, _ in there ^ here} <= ONE_DIALECTS_TRIGGERS
    assert ("on_task_assignment_insert", "task_assignments") in here & there


def test_both_have_the_named_indexes(postgres: psycopg.Connection[Any], sqlite: sqlite3.Connection) -> None:
    named = set(re.findall(r"CREATE (?:UNIQUE )?INDEX (\w+)", schema_text()))
    there = {name for (name,) in rows(postgres, "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")}
    here = {name for (name,) in sqlite.execute("SELECT name FROM sqlite_schema WHERE type = 'index'")}
    assert named <= there
    assert named <= here


def test_both_have_the_same_foreign_keys(postgres: psycopg.Connection[Any], sqlite: sqlite3.Connection) -> None:
    there = rows(
        postgres,
        "SELECT conrelid::regclass::text, a.attname, confrelid::regclass::text FROM pg_constraint c"
        " JOIN LATERAL unnest(conkey) AS key ON true JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = key"
        " WHERE contype = 'f'",
    )
    here = sqlite.execute(
        'SELECT t.name, f."from", f."table" FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) f'
        " WHERE t.type = 'table'"
    )
    assert there == set(here)
    assert ("tasks", "first_assignment_id", "task_assignments") in there


def test_postgres_numbers_rows_itself(postgres: psycopg.Connection[Any]) -> None:
    there = rows(
        postgres,
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE is_identity = 'YES'",
    )
    marks = schema_text().count("INTEGER PRIMARY KEY AUTOINCREMENT,")
    assert len(there) == marks > 0
    assert ("tasks", "db_key", "bigint") in there
    assert {kind for _, _, kind in there} == {"bigint"}


def test_times_and_counts_are_wide_enough(postgres: psycopg.Connection[Any]) -> None:
    """Only what says yes or no, or which of two slots, is narrow."""
    narrow = rows(postgres, f"{COLUMNS} AND data_type = 'integer'")
    checked = {
        (table, column)
        for (table, rule) in rows(
            postgres,
            "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'",
        )
        for column in re.findall(r"\((\w+) = ANY \(ARRAY\[\d(?:, \d)*\]\)", rule)
    }
    assert narrow <= checked
    assert ("solvers", "is_online") in narrow


@pytest.mark.parametrize("query", every_query(), ids=lambda query: query.name)
def test_postgres_prepares_every_query(postgres: psycopg.Connection[Any], query: Query) -> None:
    sql, names = for_postgres(query)
    postgres.execute(f"PREPARE test AS {sql}")
    [(types,)] = rows(
        postgres, "SELECT array_length(parameter_types, 1) FROM pg_prepared_statements WHERE name = 'test'"
    )
    postgres.execute("DEALLOCATE test")
    assert (types or 0) == len(names)


@pytest.mark.parametrize("query", every_query(), ids=lambda query: query.name)
def test_postgres_plans_every_query(postgres: psycopg.Connection[Any], query: Query) -> None:
    """Locks that a query cannot have (with aggregates, DISTINCT, outer joins) are refused only here."""
    sql, names = for_postgres(query)
    postgres.execute(f"PREPARE test AS {sql}")
    arguments = f"({', '.join(['NULL'] * len(names))})" if names else ""
    plan = rows(postgres, f"EXPLAIN EXECUTE test{arguments}")
    postgres.execute("DEALLOCATE test")
    assert plan
    assert any("LockRows" in line for (line,) in plan) == ("FOR UPDATE" in sql)


def test_both_trigger_files_stand_in_the_package() -> None:
    names = {entry.name for entry in (files("vault_server") / "storage" / "triggers").iterdir()}
    assert {"sqlite.sql", "postgres.sql"} <= names
