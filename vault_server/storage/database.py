"""The contract of a database: a batch of works in, one outcome each; a read; whether anything was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from vault_server.core.operation import Effect, Reader, Transaction

T = TypeVar("T")

Work = Callable[[Transaction], Any]


class StorageError(Exception):
    """The database could not do it, and nothing of it was stored. `full` when the disk is."""

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full


@dataclass(slots=True)
class Outcome:
    """What became of one work: its value, or the exception it raised (then its changes are undone).

    `effects` are to be carried out now: the work is on disk.
    """

    value: Any = None
    error: Exception | None = None
    effects: list[Effect] = field(default_factory=list)


class Database(Protocol):
    """`start` returns when it can be used, `stop` when it is closed; both are safe twice."""

    async def start(self) -> None:
        """Open, create what a new database needs, refuse one of another version. Raises StorageError."""

    async def stop(self) -> None:
        """Close."""

    async def transact(self, batch: Sequence[Work]) -> list[Outcome]:
        """Run all works, in order, each undone alone if it raises; return once what succeeded is on disk.

        Never raises for the database's own troubles: those are the outcomes' StorageError.
        """

    def listen(self, look: Callable[[Reader], None] | None) -> None:
        """Have `look` see the committed rows behind every transaction, before `transact` returns.

        A short cut, in the thread that has just written: it may be left out at any time, and `read` is the truth.
        """

    async def read(self, function: Callable[[Reader], T]) -> T:
        """Look at committed rows in one consistent view. Raises StorageError."""
