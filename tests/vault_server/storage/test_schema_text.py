"""schema.sql is SQL that SQLite runs as it stands; the quicker form that the loader writes makes the same things."""

from __future__ import annotations

import sqlite3

from vault_server.storage.schema import schema_text, sqlite_script


def made_by(script: str) -> set[tuple[str, str]]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(script)
    rows = connection.execute("SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'index')").fetchall()
    connection.close()
    return {(kind, name) for kind, name in rows}


def test_the_file_as_it_stands_makes_what_the_loader_makes() -> None:
    made = made_by(schema_text())
    assert ("table", "task_assignments") in made
    searched = {(kind, name) for kind, name in made_by(sqlite_script()) if name.startswith("hive_tasks_text")}
    assert ("table", "hive_tasks_text") in searched  # words are found by each database in its own way
    assert made == made_by(sqlite_script()) - searched
