"""What is always true of the rows that all systems stand on; and that sealed values open. For `vault-server check`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vault_server.core.operation import Invariant, Query, Reader, SealedColumn, System
from vault_server.exchange.cipher import Cipher, WrongMasterKey
from vault_server.storage.queries import load

q = load(__package__, "invariants.sql")

ROWS_AT_ONCE = 500


def _scores_follow_each_other(reader: Reader) -> Iterator[str]:
    for row in reader.all(q.broken_chains):
        yield (
            f"score_history {row['id']} moves the {row['standing']} {row['holder'][:16]}… by {row['score_change']} "
            f"to {row['score_after']}; before it stood at {row['before']}"
        )


def _pushes_have_receivers(reader: Reader) -> Iterator[str]:
    for row in reader.all(q.pushes_to_nobody):
        yield f"outbox row {row['seq']} ({row['kind']}) is for {row['receiver']}, who does not take part"


def _bans_end_after_they_begin(reader: Reader) -> Iterator[str]:
    for row in reader.all(q.bans_that_contradict):
        yield f"ban {row['id']} of {row['subject']} begins at {row['created_at']} and ends at {row['until']}"


INVARIANTS = [
    Invariant("each score follows the one before it", _scores_follow_each_other),
    Invariant("whoever is to be told takes part", _pushes_have_receivers),
    Invariant("bans end after they begin", _bans_end_after_they_begin),
]


def names_are_known(systems: Iterable[System]) -> list[Invariant]:
    """Every deadline leads to an order, and every push to a message, of one of these systems."""
    deadlines = {name for system in systems for name in system.deadlines}
    pushes = {push.kind for system in systems for push in system.pushes}

    def of_deadlines(reader: Reader) -> Iterator[str]:
        for row in reader.all(q.names_of_deadlines):
            if row["name"] not in deadlines:
                yield f"{row['number']} deadlines are called {row['name']!r}, which leads to nothing"

    def of_pushes(reader: Reader) -> Iterator[str]:
        for row in reader.all(q.kinds_of_pushes):
            if row["kind"] not in pushes:
                yield f"{row['number']} pushes are of kind {row['kind']!r}, which nothing renders"

    return [
        Invariant("every deadline leads to an order", of_deadlines),
        Invariant("every push can be shown", of_pushes),
    ]


def sealed_values_open(cipher: Cipher, columns: Iterable[SealedColumn]) -> list[Invariant]:
    """One invariant for each sealed column: all its values open with the master keys there are."""
    return [
        Invariant(f"every {column.table}.{column.column} opens with a master key", _opens(cipher, column))
        for column in columns
    ]


def _opens(cipher: Cipher, column: SealedColumn) -> Callable[[Reader], Iterator[str]]:
    text = (
        f"SELECT {column.key} AS place, {column.row} AS name, {column.owner} AS owner, {column.column} AS value "  # noqa: S608
        f"FROM {column.table} WHERE {column.key} > :after AND {column.column} IS NOT NULL "
        f"ORDER BY {column.key} LIMIT :count"
    )
    query = Query(f"sealed_{column.table}_{column.column}", text)

    def violations(reader: Reader) -> Iterator[str]:
        after = 0
        while rows := reader.all(query, after=after, count=ROWS_AT_ONCE):
            for row in rows:
                try:
                    cipher.open(
                        row["value"],
                        table=column.table,
                        row=str(row["name"]),
                        column=column.column,
                        owner=row["owner"],
                    )
                except WrongMasterKey as error:
                    yield str(error)
            after = rows[-1]["place"]

    return violations
