"""The database file as rows, read beside the running server: what must hold whatever happened."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from vault_server.exchange import invariants as of_the_exchange
from vault_server.storage.snapshot import snapshot, soundness, violations
from vault_server.systems.vault import invariants as of_the_vault

FOUND_MAX = 10
SETTLE_SECONDS = 15.0
"""The last acknowledgements take a moment to be written."""


def trust(database: Path, fingerprint: str, tasks: int = 1024) -> None:
    """Let a solver that has joined have earned the trust to hold many tasks at once."""
    with closing(sqlite3.connect(database, timeout=SETTLE_SECONDS)) as connection, connection:
        changed = connection.execute("UPDATE solvers SET trusted = ? WHERE solver_id = ?", (tasks, fingerprint))
        assert changed.rowcount == 1, fingerprint


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
    """Every invariant of `vault-server check`, and the file itself."""
    invariants = [*soundness(), *of_the_exchange.INVARIANTS, *of_the_vault.INVARIANTS]
    with snapshot(database) as reader:
        found = {each.name: broken for each in invariants if (broken := violations(reader, each, FOUND_MAX))}
    assert not found


async def until_none(database: Path, query: str) -> None:
    """Wait until a query gives no row any more."""
    until = time.monotonic() + SETTLE_SECONDS
    while rows := look(database, query):
        assert time.monotonic() < until, f"still there: {rows}"
        await asyncio.sleep(0.05)
