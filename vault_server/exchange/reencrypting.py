"""Sealing rows anew under the newest master key: a bounded number at a time, along the primary key of each table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vault_server.core.operation import Query, Row, SealedColumn, Transaction
from vault_server.exchange.cipher import Cipher, WrongMasterKey, version_of


@dataclass(slots=True)
class Found:
    """What a batch met: the last key it looked at, values sealed anew, and those that do not open."""

    last: int
    resealed: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value that no given key opens. It stays as it is."""

    version: int
    place: str


class SealedTable:
    """The sealed columns of one table, and the statements that walk it.

    The only SQL that stands in no file: which columns there are, each system says.
    """

    def __init__(self, columns: Sequence[SealedColumn]) -> None:
        first = columns[0]
        alike = {(column.table, column.row, column.owner, column.key) for column in columns}
        assert len(alike) == 1, f"sealed columns of {first.table} name its rows and owners in one way"
        assert len(set(columns)) == len(columns), f"a sealed column of {first.table} is named twice"
        self.name = first.table
        self._first = first
        self._columns = [column.column for column in columns]
        self._end = Query(f"end_of_{self.name}", _END.format(table=self.name, key=first.key))
        read = ", ".join(dict.fromkeys([first.key, first.row, first.owner, *self._columns]))
        self._read = Query(f"sealed_{self.name}", _READ.format(table=self.name, key=first.key, columns=read))
        changes = ", ".join(f"{name} = :{name}" for name in self._columns)
        self._write = Query(f"reencrypt_{self.name}", _WRITE.format(table=self.name, key=first.key, changes=changes))

    @property
    def queries(self) -> list[Query]:
        """All statements, for tests on each database."""
        return [self._end, self._read, self._write]

    def end(self, tx: Transaction) -> int:
        """The highest key in the table now, 0 in an empty one."""
        row = tx.one(self._end)
        assert row is not None, "an aggregate has a row"
        return int(row["last"])

    def reencrypt(self, tx: Transaction, cipher: Cipher, after: int, until: int, count: int) -> Found:
        """Look at the next `count` rows behind the key `after`, up to `until`; seal anew what an older key sealed.

        Rows are read, locked and written in one transaction: what somebody else writes is never overwritten.
        """
        rows = tx.all(self._read, after=after, until=until, count=count)
        found = Found(last=rows[-1][self._first.key] if len(rows) == count else until)
        for row in rows:
            values = {name: self._reseal(cipher, row, name, found) for name in self._columns}
            if any(values[name] != row[name] for name in self._columns):
                changed = tx.run(self._write, this_row=row[self._first.key], **values)
                assert changed == 1, f"a row of {self.name} is gone"
        return found

    def _reseal(self, cipher: Cipher, row: Row, column: str, found: Found) -> Any:
        """The value as it shall stand there: itself when it is sealed well, empty, or does not open."""
        sealed = row[column]
        if sealed is None or version_of(sealed) == cipher.version:
            return sealed
        place = {"table": self.name, "row": str(row[self._first.row]), "column": column}
        owner = row[self._first.owner]
        try:
            value = cipher.open(sealed, **place, owner=owner)
        except WrongMasterKey:
            found.unreadable.append(Unreadable(version_of(sealed), f"{self.name}.{column} of {place['row']}"))
            return sealed
        found.resealed += 1
        return cipher.seal(value, **place, owner=owner)


_END = "SELECT coalesce(max({key}), 0) AS last FROM {table}"
_READ = (
    "SELECT {columns} FROM {table} WHERE {key} > :after AND {key} <= :until ORDER BY {key} LIMIT :count /*for update*/"
)
_WRITE = "UPDATE {table} SET {changes} WHERE {key} = :this_row"


def tables_of(columns: Iterable[SealedColumn]) -> dict[str, SealedTable]:
    """Tables by name, in the order in which their columns are named."""
    grouped: dict[str, list[SealedColumn]] = {}
    for column in columns:
        grouped.setdefault(column.table, []).append(column)
    return {name: SealedTable(group) for name, group in grouped.items()}
