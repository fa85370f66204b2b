"""One face for raw SQL on either database: statements in, rows out, and whether a statement was refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import psycopg

Refused = (sqlite3.IntegrityError, psycopg.IntegrityError)


class Raw:
    """`run` statements; `rows` of a SELECT as tuples; `refuses` a statement and undoes only that."""

    def __init__(self, execute: Callable[[str], Any], *, is_sqlite: bool) -> None:
        self._execute = execute
        self.is_sqlite = is_sqlite

    def run(self, *statements: str) -> None:
        """Run them all; none may be refused."""
        for statement in statements:
            self._execute(statement)

    def rows(self, select: str) -> list[tuple[Any, ...]]:
        """All rows of a SELECT."""
        return [tuple(row) for row in self._execute(select).fetchall()]

    def one(self, select: str) -> Any:
        """The only value of the only row."""
        [[value]] = self.rows(select)
        return value

    def refuses(self, statement: str) -> bool:
        """Whether a rule of the schema stands against the statement, at once or at COMMIT. Other errors are raised."""
        self._execute("SAVEPOINT refused")
        try:
            self._execute(statement)
            if not self._commit_would_refuse():
                return False
        except Refused:
            pass
        self._execute("ROLLBACK TO SAVEPOINT refused")
        return True

    def _commit_would_refuse(self) -> bool:
        """Ask for the assignments' foreign keys, which are checked by COMMIT. On PostgreSQL the answer is an error."""
        if self.is_sqlite:
            return bool(self.rows("PRAGMA foreign_key_check(task_assignments)"))
        keys = ", ".join(f"task_assignments_{name}_fkey" for name in ("task_id", "task_key", "solver_id"))
        self._execute(f"SET CONSTRAINTS {keys} IMMEDIATE")
        self._execute(f"SET CONSTRAINTS {keys} DEFERRED")
        return False
