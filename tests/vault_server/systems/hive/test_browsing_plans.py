"""PostgreSQL, which chooses by what is in the tables, walks pages of many tasks along an index, and sorts nothing."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from vault_server.core.operation import Query
from vault_server.storage.queries import for_postgres, load

TASKS = 10_000
BROWSING = [query for query in load("vault_server.systems.hive") if query.name.startswith("browse_")]
VALUES = {"status": "open", "category": 3, "min_budget": 0, "max_budget": 10**9, "count": 21}
FIRST = {"newest": 2**63 - 1, "oldest": 0, "high": 2**63 - 1, "low": 0}
BUDGET = {"high": 10**9 + 1, "low": 0}


@pytest.fixture
def filled(postgres: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Many open tasks in seven categories; gone after the test."""
    postgres.execute("INSERT INTO users (id, email, name, password_hash) VALUES (1, 'a@x.example', 'Ann', 'x')")
    postgres.execute("INSERT INTO categories (id, name, slug) SELECT i, i, i FROM generate_series(1, 7) AS n (i)")
    postgres.execute(
        "INSERT INTO hive_tasks (poster_id, title, description, budget_credits, category_id)"
        " SELECT 1, 'Task number ' || i, 'One of many tasks, to be looked at.', 10 + i * 7919 % 5000, 1 + i % 7"
        f" FROM generate_series(1, {TASKS}) AS n (i)"
    )
    postgres.execute("ANALYZE hive_tasks")
    postgres.execute("ANALYZE users")
    postgres.execute("ANALYZE categories")
    return postgres


def plan(postgres: psycopg.Connection[Any], query: Query) -> str:
    text, names = for_postgres(query)
    sort = query.name.removeprefix("browse_").removesuffix("_in").removeprefix("budget_")
    values = {**VALUES, "id": FIRST[sort], "budget": BUDGET.get(sort, 0)}
    cursor = psycopg.RawCursor(postgres)
    return "\n".join(row[0] for row in cursor.execute(f"EXPLAIN {text}", [values[name] for name in names]))


def test_a_page_is_walked_along_an_index(filled: psycopg.Connection[Any]) -> None:
    assert len(BROWSING) == 8
    for query in BROWSING:
        steps = plan(filled, query)
        assert "Index" in steps, f"{query.name}:\n{steps}"
        assert "Seq Scan on hive_tasks" not in steps, f"{query.name}:\n{steps}"
        assert "Sort" not in steps, f"{query.name}:\n{steps}"
