"""Named queries: what a file gives, and what PostgreSQL is given instead of comments and names."""

from __future__ import annotations

import sqlite3
from importlib.resources import files

import pytest

from vault_server.core.operation import Query
from vault_server.storage.queries import Queries, for_postgres, for_sqlite, load
from vault_server.storage.schema import sqlite_script

FILES = (
    ("vault_server.exchange", "queries.sql"),
    ("vault_server.exchange", "invariants.sql"),
    ("vault_server.systems.vault", "queries.sql"),
    ("vault_server.systems.vault", "reports.sql"),
    ("vault_server.systems.vault", "invariants.sql"),
    ("vault_server.systems.subnet", "queries.sql"),
    ("vault_server.systems.subnet", "reports.sql"),
    ("vault_server.systems.subnet", "invariants.sql"),
)


def every_query() -> list[Query]:
    return [query for package, file in FILES for query in load(package, file)]


@pytest.mark.parametrize(("package", "file"), FILES)
def test_a_file_gives_all_its_queries_by_name(package: str, file: str) -> None:
    text = (files(package) / file).read_text()
    queries = load(package, file)
    names = [line.split()[2].rstrip("!^") for line in text.splitlines() if line.startswith("-- name:")]
    assert sorted(query.name for query in queries) == sorted(names)
    assert len(set(names)) == len(names)
    assert all(getattr(queries, name).name == name for name in names)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no query is called 'gone'"):
        _ = Queries({}).gone


@pytest.mark.parametrize("query", every_query(), ids=lambda query: query.name)
def test_sqlite_takes_every_query(query: Query) -> None:
    raw = sqlite3.connect(":memory:")
    raw.executescript(sqlite_script())
    raw.execute("PRAGMA foreign_keys = ON")
    for returns in (True, False):
        form, names = for_sqlite(query, returns=returns)
        raw.execute(f"EXPLAIN {form}", [0] * len(names)).fetchall()
    raw.close()


@pytest.mark.parametrize(
    ("query", "sql", "names"),
    [
        ("SELECT 1", "SELECT 1", ()),
        ("SELECT :a, :b, :a", "SELECT ?, ?, ?", ("a", "b", "a")),
        ("SELECT ':a', :b", "SELECT ':a', ?", ("b",)),
        ("INSERT INTO t VALUES (:a)\nRETURNING id;", "INSERT INTO t VALUES (?)\nRETURNING id;", ("a",)),
    ],
)
def test_the_form_for_sqlite(query: str, sql: str, names: tuple[str, ...]) -> None:
    assert for_sqlite(query) == (sql, names)


@pytest.mark.parametrize("end", [" RETURNING id", "\nRETURNING id;", " RETURNING db_key ;\n"])
def test_who_asks_for_the_key_alone_needs_no_returning(end: str) -> None:
    assert for_sqlite(f"INSERT INTO t VALUES (:a){end}", returns=False) == ("INSERT INTO t VALUES (?)", ("a",))


@pytest.mark.parametrize(
    ("query", "sql", "names"),
    [
        ("SELECT 1", "SELECT 1", ()),
        ("SELECT :a, :b, :a", "SELECT $1, $2, $1", ("a", "b")),
        ("SELECT :open_tasks_max", "SELECT $1", ("open_tasks_max",)),
        ("SELECT 'key:' || :a", "SELECT 'key:' || $1", ("a",)),
        ("SELECT 'it''s :a', :b", "SELECT 'it''s :a', $1", ("b",)),
        ("SELECT :a::text", "SELECT $1::text", ("a",)),
        ("SELECT x /*for update*/;", "SELECT x FOR UPDATE;", ()),
        ("SELECT x /*for update skip locked*/;", "SELECT x FOR UPDATE SKIP LOCKED;", ()),
        ("SELECT x /*for update of tasks*/;", "SELECT x FOR UPDATE OF TASKS;", ()),
        ("SELECT x /* for later */;", "SELECT x /* for later */;", ()),
    ],
)
def test_the_form_for_postgres(query: str, sql: str, names: tuple[str, ...]) -> None:
    assert for_postgres(Query("test", query)) == (sql, names)


def test_the_locks_of_the_files_arrive() -> None:
    queries = load("vault_server.systems.vault")
    assert for_postgres(queries.task)[0].endswith("FOR UPDATE;")
    assert for_postgres(queries.claim_solver)[0].endswith("FOR UPDATE SKIP LOCKED;")
    assert for_postgres(queries.claim_solver, locks=False)[0].endswith("in_hand < capacity ;")
    assert for_postgres(queries.assignment_of_solver)[0].endswith("FOR UPDATE;")
    marks = sum((files(package) / file).read_text().count("/*for update") for package, file in FILES)
    assert marks == sum("/*for update" in query for query in every_query()) > 0
    for query in every_query():
        asked = "/*for update" in (query.postgres or query)
        assert (" FOR UPDATE" in for_postgres(query)[0]) is asked
        assert " FOR UPDATE" not in for_postgres(query, locks=False)[0]


def test_a_variant_takes_what_the_shared_form_takes() -> None:
    variants = [query for query in every_query() if query.postgres is not None]
    assert {"running_transactions", "take_deadline"} <= {query.name for query in variants}
    for query in variants:
        assert set(for_postgres(query)[1]) == set(for_postgres(Query(query.name, str(query)))[1]), query.name
