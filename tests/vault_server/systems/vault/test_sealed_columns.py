"""Every column that holds secrets is among those that a new master key reaches, on both databases."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import psycopg
import pytest

from vault_server.core.operation import Query
from vault_server.exchange.reencrypting import tables_of
from vault_server.storage.queries import for_postgres
from vault_server.storage.schema import schema_text, sqlite_script
from vault_server.systems.hive.sealed import SEALED as HIVE_SEALED
from vault_server.systems.vault.system import SEALED as VAULT_SEALED

PLAIN = {
    ("master_keys", "check_value"),  # each is under its own version, and goes with it
    ("tasks", "commitment"),  # a hash, by the client
    ("idempotency", "request_hash"),  # a keyed hash
    ("hive_replies", "request_hash"),  # the same
}
SEALED = [*VAULT_SEALED, *HIVE_SEALED]


def queries() -> list[Query]:
    return [query for table in tables_of(SEALED).values() for query in table.queries]


def test_every_column_of_bytes_is_sealed_or_known_not_to_be() -> None:
    columns = set()
    table = ""
    for line in schema_text().splitlines():
        if created := re.match(r"CREATE TABLE (\w+)", line):
            table = created[1]
        elif column := re.match(r"\s+(\w+)\s+BYTEA\b", line):
            columns.add((table, column[1]))
    sealed = {(column.table, column.column) for column in SEALED}
    assert sealed | PLAIN == columns
    assert not sealed & PLAIN


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.name)
def test_sqlite_walks_along_the_primary_key(query: Query) -> None:
    raw = sqlite3.connect(":memory:")
    raw.executescript(sqlite_script())
    _, names = for_postgres(query)
    plan = raw.execute(f"EXPLAIN QUERY PLAN {query}", dict.fromkeys(names, 0)).fetchall()
    raw.close()
    assert plan
    assert all(detail.startswith("SEARCH") for *_, detail in plan)


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.name)
def test_postgres_plans_it_with_its_lock(postgres: psycopg.Connection[Any], query: Query) -> None:
    text, names = for_postgres(query)
    postgres.execute(f"PREPARE reencrypting AS {text}")
    arguments = f"({', '.join(['NULL'] * len(names))})" if names else ""
    plan = postgres.execute(f"EXPLAIN EXECUTE reencrypting{arguments}").fetchall()
    postgres.execute("DEALLOCATE reencrypting")
    assert any("LockRows" in line for (line,) in plan) == ("FOR UPDATE" in text)
    assert "FOR UPDATE" in text or "/*for update*/" not in query
