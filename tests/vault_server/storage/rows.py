"""Rows to put in by hand, in SQL that both databases take, and a small table of notes for works of a batch."""

from __future__ import annotations

from typing import Any

from vault_server.core.operation import Query, Transaction
from vault_server.storage.database import Database, Work

CLIENT = "c" * 32
SOLVER_A, SOLVER_B, SOLVER_C = "a" * 32, "b" * 32, "d" * 32
TASK, OTHER_TASK = "1" * 32, "2" * 32

LIVE = ("offered", "accepted", "delivered")

PEOPLE = [
    *(
        f"INSERT INTO participants (hotkey, fingerprint, registered_at) VALUES ('{key * 2}', '{key}', 1)"
        for key in (CLIENT, SOLVER_A, SOLVER_B, SOLVER_C)
    ),
    f"INSERT INTO clients (client_id, tasks_requested, open_tasks) VALUES ('{CLIENT}', 2, 2)",
    *(
        f"INSERT INTO solvers (solver_id, announced, trusted, capacity) VALUES ('{key}', 2, 2, 2)"
        for key in (SOLVER_A, SOLVER_B, SOLVER_C)
    ),
]


def task(fingerprint: str, status: str | None = "waiting", **columns: object) -> str:
    """An INSERT of a task; `columns` replace or add values."""
    values: dict[str, object] = {
        "fingerprint": fingerprint,
        "client_id": CLIENT,
        "parameter_t": "\\x00",
        "parameter_baseg": "\\x00",
        "parameter_product": "\\x00",
        "modulus_bits": 2048,
        "difficulty": 0.5,
        "effort": 1.5,
        "status": status,
        "open_slots": 2 if status == "waiting" else 0,
        "promised_by": 1000,
        "created_at": 10,
        "updated_at": 10,
        **columns,
    }
    return insert("tasks", values)


def assignment(solver: str, slot: int = 1, status: str | None = "offered", *, of: str = TASK, **columns: object) -> str:
    """An INSERT of an assignment of `of`; the task's db_key is looked up."""
    values: dict[str, object] = {
        "task_id": of,
        "solver_id": solver,
        "slot": slot,
        "status": status,
        "deadline": 1000,
        "complaint_deadline": 2000,
        "ranking": "[]",
        "assigned_at": 20,
        "ended_at": None if status in LIVE else 40,
        **columns,
    }
    names = ", ".join(["task_key", *values])
    chosen = f"SELECT db_key, {literals(values)} FROM tasks WHERE fingerprint = '{of}'"
    return f"INSERT INTO task_assignments ({names}) {chosen}"


def insert(table: str, values: dict[str, object]) -> str:
    """An INSERT of one row with its values written out."""
    return f"INSERT INTO {table} ({', '.join(values)}) VALUES ({literals(values)})"


def literals(values: dict[str, object]) -> str:
    """Values as both databases read them."""
    return ", ".join("NULL" if value is None else repr(value) for value in values.values())


def sql(text: str, postgres: str | None = None) -> Query:
    """A query without a name."""
    return Query("test", text, postgres)


NOTES = sql(
    "CREATE TABLE notes (number INTEGER PRIMARY KEY, body BYTEA,"
    " about INTEGER REFERENCES notes (number) DEFERRABLE INITIALLY DEFERRED)"
)
NOTE_ABOUT_NOTHING = sql("INSERT INTO notes (number, about) VALUES (:number, 99999)")
"""Refused when it is to be committed, and not before."""
NOTE = sql("INSERT INTO notes (number, body) VALUES (:number, :body)")


def note(number: int, body: bytes = b"") -> Work:
    """A work that writes one note and gives its number."""

    def work(tx: Transaction) -> int:
        assert tx.run(NOTE, number=number, body=body) == 1
        return number

    return work


async def make_notes(database: Database) -> None:
    """Make the table of notes."""
    await committed(database, lambda tx: tx.run(NOTES))


async def committed(database: Database, work: Work) -> Any:
    """Run one work that must succeed; its value."""
    [outcome] = await database.transact([work])
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


async def numbers(database: Database) -> list[int]:
    """The notes that are on disk."""
    rows = await database.read(lambda reader: reader.all(sql("SELECT number FROM notes ORDER BY number")))
    return [row["number"] for row in rows]
