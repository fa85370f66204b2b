"""Every statement of the hive on both databases, and that those of operations walk no table that grows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from vault_server.core.operation import Query
from vault_server.storage.queries import for_postgres, load
from vault_server.storage.schema import sqlite_script

FILES = ("queries.sql", "sending.sql", "reports.sql", "invariants.sql")
PACKAGE = "vault_server.systems.hive"
OF_OPERATIONS = [*load(PACKAGE), *load(PACKAGE, "sending.sql")]
ALL = [query for file in FILES for query in load(PACKAGE, file)]

WALKS = {
    "categories": "a handful of rows",
    "count_tasks": "along its index, for /metrics",
    "count_agents_by_status": "along its index, for /metrics",
    "forget_events": "once a day",
    "count_webhooks_by_state": "a few of each agent, for /metrics",
}


@pytest.fixture(scope="module")
def raw() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(sqlite_script())
        yield connection


def plan(raw: sqlite3.Connection, query: Query) -> list[str]:
    _, names = for_postgres(query)
    more = {"words": 0}  # of the form for PostgreSQL alone
    return [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {query}", {**dict.fromkeys(names, 0), **more, **MATCH})]


MATCH = {"anywhere": '"a"', "in_title": 'title : ("a")', "category": 0, "status": "open", "tier": 0, "id": 0}
MATCH |= {"min_budget": 0, "max_budget": 1, "count": 1}


@pytest.mark.parametrize("query", ALL, ids=lambda query: query.name)
def test_sqlite_takes_it(raw: sqlite3.Connection, query: Query) -> None:
    assert plan(raw, query) or "INSERT" in query


@pytest.mark.parametrize("query", ALL, ids=lambda query: query.name)
def test_postgres_takes_it(postgres: psycopg.Connection[Any], query: Query) -> None:
    text, _ = for_postgres(query)
    postgres.execute(f"PREPARE taken AS {text}")
    postgres.execute("DEALLOCATE taken")


@pytest.mark.parametrize("query", OF_OPERATIONS, ids=lambda query: query.name)
def test_a_statement_searches_by_an_index(raw: sqlite3.Connection, query: Query) -> None:
    tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    aliases = {"t", "l", "k", "a", "u", "c", "d", "w", "g", "s", "v"}
    walked = [step for step in plan(raw, query) if step.startswith("SCAN") and step.split()[1] in tables | aliases]
    walked = [step for step in walked if "VIRTUAL TABLE" not in step]
    assert bool(walked) == (query.name in WALKS), walked


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("browse_newest", "hive_tasks_by_status"),
        ("browse_budget_high", "hive_tasks_by_budget"),
        ("browse_newest_in", "hive_tasks_of_category"),
        ("browse_budget_low_in", "hive_tasks_of_category_by_budget"),
        ("tasks_of_poster", "hive_tasks_of_poster"),
        ("tasks_of_agent", "hive_tasks_of_agent"),
        ("claims_of_task", "task_claims_of_task"),
        ("claims_of_agent", "task_claims_of_agent"),
        ("transactions_of_user", "credit_transactions_of_user"),
        ("agents_of_operator", "agents_of_operator"),
        ("agent_of_key", "agents"),
        ("first_delivery", "outbox_of_webhooks"),
        ("count_deliveries", "outbox_of_webhooks"),
    ],
)
def test_a_page_comes_along_its_index_without_sorting(raw: sqlite3.Connection, name: str, index: str) -> None:
    [query] = [each for each in OF_OPERATIONS if each.name == name]
    steps = plan(raw, query)
    assert any(index in step for step in steps), steps
    assert not any("ORDER BY" in step for step in steps), steps
