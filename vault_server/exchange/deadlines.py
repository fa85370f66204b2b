"""Everything that is due some day, as rows: each leads to one order, at most once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Sequence

from vault_server.core.operation import Reader, Row, Transaction
from vault_server.storage.queries import load

q = load(__package__)

BATCH = 256


def put(tx: Transaction, name: str, subject: str, due_ms: int) -> None:
    """Have `name` happen to `subject` at `due_ms`; replaces an earlier time."""
    tx.run(q.set_deadline, name=name, subject=subject, due=due_ms)


def clear(tx: Transaction, name: str, subject: str) -> None:
    """It need not happen any more."""
    tx.run(q.clear_deadline, name=name, subject=subject)


def take(tx: Transaction, name: str, subject: str, now_ms: int) -> bool:
    """Claim what is due: True once, in the transaction that carries it out."""
    return tx.run(q.take_deadline, name=name, subject=subject, now=now_ms) == 1


def postpone(tx: Transaction, name: str, subject: str, due_ms: int) -> None:
    """Try again later: what should have happened failed."""
    tx.run(q.postpone_deadline, name=name, subject=subject, due=due_ms)


def due(reader: Reader, now_ms: int) -> Sequence[Row]:
    """What is due, oldest first: rows of name, subject, due."""
    return reader.all(q.deadlines_due, now=now_ms, count=BATCH)


def next_due_ms(reader: Reader) -> int | None:
    """When the next thing is due."""
    row = reader.one(q.next_deadline)
    return None if row is None else row["due"]
