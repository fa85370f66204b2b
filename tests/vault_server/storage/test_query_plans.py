"""No statement of an operation walks a table that grows, unless it is named here with its reason.

What operators ask (invariants.sql, reports.sql) may look at everything.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from vault_server.core.operation import Query
from vault_server.storage.queries import for_postgres, load
from vault_server.storage.schema import sqlite_script

PACKAGES = ("vault_server.exchange", "vault_server.systems.vault", "vault_server.systems.subnet")
OF_OPERATIONS = [query for name in PACKAGES for query in load(name)]

WALKS = {
    "bans_lifted": "along the index of those that were lifted since",
    "count_nodes": "a handful of rows",
    "node_that_was_there": "a handful of rows",
    "nodes_gone": "a handful of rows",
    "other_nodes": "a handful of rows",
    "solvers_of_node_offline": "over those that are online, when a server is gone",
    "solvers_of_node_online": "over those of a server, when it was taken to be gone and is not",
    "nobody_is_there": "at the start",
    "nobody_is_at_node": "at the start",
    "node_is_gone": "when a server is gone, over those that are online",
    "node_is_back": "when a server was taken to be gone and is not",
    "ask_voters": "over those who judge and are online, once for an answer",
    "awaited_voter": "over those who judge and are online, and stops at the first who has not voted",
    "miners_available": "over those who mine and are online",
    "count_online": "over those that are online, for /metrics",
    "all_solvers_offline": "at the start, over those that were online",
    "available_for_trap": "over those that are online, for one task in a hundred",
    "available_solvers": "over those that are online, best band first, and stops at the sixteenth that fits",
    "complaints_with_factor": "at the start",
    "relays_being_checked": "at the start, over those that are being checked",
    "relays_by_status": "over those of tasks that have not ended, for /metrics",
    "count_proofs_waiting": "along the index of those that wait, for /metrics",
    "waiting_proofs": "at the start, over those that wait",
    "any_open_task": "the first of the open ones, along their own index",
    "efforts": "over the clients, every ten seconds at most",
    "open_trap": "the first of the open ones, along their own index",
    "smallest_recent_task": "the newest thousand along the key, for a new key that has to solve one first",
    "recent_tasks": "the newest thousand along the key, every ten seconds at most",
    "tasks_of_effort": "the newest thousand along the key, for each trap",
    "recent_task": "the newest thousand along the key, every ten seconds at most",
    "open_tasks_for_solver": "the open ones along their own index, oldest first, as far as the solver has hands free",
    "count_pushes": "stops at the number that is asked for",
    "count_solvers_online": "over those that are online, for /metrics",
    "count_tasks": "along its index, for /metrics",
    "forget_bans": "once a day",
    "forget_good_days": "once a day",
    "master_keys": "a handful of rows",
}


@pytest.fixture(scope="module")
def raw() -> Iterator[sqlite3.Connection]:
    """The schema, empty."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(sqlite_script())
        yield connection


def walked(raw: sqlite3.Connection, query: Query) -> list[str]:
    """The tables that a statement walks instead of searching them; subqueries that it has named are none."""
    tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    _, names = for_postgres(query)
    plan = raw.execute(f"EXPLAIN QUERY PLAN {query}", dict.fromkeys(names, 0)).fetchall()
    return [words[1] for words in (row[3].split() for row in plan) if words[0] == "SCAN" and words[1] in tables]


@pytest.mark.parametrize("query", OF_OPERATIONS, ids=lambda query: query.name)
def test_a_statement_searches_by_an_index(raw: sqlite3.Connection, query: Query) -> None:
    assert bool(walked(raw, query)) == (query.name in WALKS), walked(raw, query)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("accept_assignment", "INTEGER PRIMARY KEY"),
        ("complaints_of_task", "complaints_of_task"),
        ("excuse_assignments", "deadlines"),
        ("missed_assignments", "complaint_parties_of_assignment"),
        ("other_live_assignments", "task_assignments_slot_once"),
        ("parties_of_complaint", "sqlite_autoindex_complaint_parties_1"),
        ("rejected_complaint", "complaints_rejected"),
        ("withdraw_push", "outbox_of_receiver"),
    ],
)
def test_the_hot_ones_use_the_index_that_was_made_for_them(raw: sqlite3.Connection, query: str, index: str) -> None:
    [found] = [one for one in OF_OPERATIONS if one.name == query]
    _, names = for_postgres(found)
    plan = raw.execute(f"EXPLAIN QUERY PLAN {found}", dict.fromkeys(names, 0)).fetchall()
    assert any(index in row[3] for row in plan), plan
