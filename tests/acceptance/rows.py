"""The database file as rows, read beside the running server: what must hold whatever happened."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

SETTLE_SECONDS = 15.0
"""The last acknowledgements take a moment to be written."""

NEVER = {
    "hands that do not match the assignments": """
        SELECT s.solver_id FROM solvers s WHERE s.in_hand <> (
            SELECT count(*) FROM task_assignments a
            WHERE a.solver_id = s.solver_id AND a.status IN ('offered', 'accepted'))""",
    "assignments that were not counted": """
        SELECT s.solver_id FROM solvers s WHERE s.tasks_taken <> (
            SELECT count(*) FROM task_assignments a WHERE a.solver_id = s.solver_id)""",
    "tasks that were not counted": """
        SELECT c.client_id FROM clients c WHERE c.tasks_requested <> (
            SELECT count(*) FROM tasks t WHERE t.client_id = c.client_id)""",
    "open tasks that do not match": """
        SELECT c.client_id FROM clients c WHERE c.open_tasks <> (
            SELECT count(*) FROM tasks t WHERE t.client_id = c.client_id AND t.status IN ('waiting', 'assigned'))""",
    "tasks whose assignments do not match": """
        SELECT t.fingerprint FROM tasks t WHERE t.num_assignments <> (
            SELECT count(*) FROM task_assignments a WHERE a.task_id = t.fingerprint)""",
    "work in hand for tasks that have ended": """
        SELECT a.db_key FROM task_assignments a JOIN tasks t ON t.fingerprint = a.task_id
        WHERE a.status IN ('offered', 'accepted') AND t.status NOT IN ('waiting', 'assigned')""",
    "live assignments without a deadline": """
        SELECT a.db_key FROM task_assignments a WHERE a.status IN ('offered', 'accepted') AND NOT EXISTS (
            SELECT 1 FROM deadlines d WHERE d.name = 'expire_assignment' AND d.subject = CAST(a.db_key AS TEXT))""",
    "deadlines of assignments that have ended": """
        SELECT d.subject FROM deadlines d WHERE d.name = 'expire_assignment' AND NOT EXISTS (
            SELECT 1 FROM task_assignments a
            WHERE CAST(a.db_key AS TEXT) = d.subject AND a.status IN ('offered', 'accepted'))""",
    "a solver that works for itself": """
        SELECT a.db_key FROM task_assignments a JOIN tasks t ON t.fingerprint = a.task_id
        WHERE a.solver_id = t.client_id""",
    "answered tasks that will never settle": """
        SELECT t.fingerprint FROM tasks t WHERE t.status = 'answered' AND NOT EXISTS (
            SELECT 1 FROM deadlines d WHERE d.name = 'settle_task' AND d.subject = t.fingerprint)""",
    "rows that point nowhere": "PRAGMA foreign_key_check",
}
"""Queries that must give no row at any moment."""


def look(database: Path, query: str) -> list[tuple[object, ...]]:
    """The rows of one query, on a connection of our own."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        return connection.execute(query).fetchall()


def count(database: Path, query: str) -> int:
    """The number that a `SELECT count(*) …` gives."""
    [(number,)] = look(database, query)
    assert isinstance(number, int)
    return number


def check(database: Path) -> None:
    """Everything in NEVER, and the file itself."""
    assert look(database, "PRAGMA integrity_check") == [("ok",)]
    found = {name: rows for name, query in NEVER.items() if (rows := look(database, query))}
    assert not found


async def until_none(database: Path, query: str) -> None:
    """Wait until a query gives no row any more."""
    until = time.monotonic() + SETTLE_SECONDS
    while rows := look(database, query):
        assert time.monotonic() < until, f"still there: {rows}"
        await asyncio.sleep(0.05)
