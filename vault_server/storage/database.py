"""The contract of a database: a batch of works in, one outcome each; a read; whether anything was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from vault_server.core.operation import Effect, Reader, Transaction

T = TypeVar("T")

Work = Callable[[Transaction], Any]


class StorageError(Exception):
    """The database could not do it, and nothing of it was stored. `full` when the disk is.

    `in_doubt`: whether it was stored is not known; the database was lost while it was being stored.
    """

    def __init__(self, message: str, *, full: bool = False, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.full = full
        self.in_doubt = in_doubt

    def __reduce__(self) -> tuple[Any, ...]:
        """A process that writes says so to the one that serves."""
        return partial(type(self), full=self.full, in_doubt=self.in_doubt), self.args


@dataclass(slots=True)
class Outcome:
    """What became of one work: its value, or the exception it raised (then its changes are undone).

    `effects` are to be carried out now: the work is on disk.
    """

    value: Any = None
    error: Exception | None = None
    effects: list[Effect] = field(default_factory=list)


class Lookout(Protocol):
    """Looks at what each transaction has added, where it is written: in another thread, or in another process with a
    copy of its own. Then what `news` and `look` return is pickled.
    """

    def news(self) -> Any:
        """In the event loop: what has to be known there of what has happened since the last time."""

    def learn(self, news: Any) -> None:
        """There, behind the commit and before `look`."""

    def look(self, reader: Reader) -> Any:
        """There, behind the commit."""

    def saw(self, seen: Any) -> None:
        """In the event loop, before `transact` returns: what `look` returned; None when it could not."""


class Database(Protocol):
    """`start` returns when it can be used, `stop` when it is closed; both are safe twice."""

    @property
    def writers(self) -> int:
        """How many batches it can run at the same time."""

    @property
    def batches_ahead(self) -> int:
        """How many batches each of those takes before the first of them is over; they are run in order."""

    @property
    def is_shared(self) -> bool:
        """Whether other nodes may use it, too."""

    async def start(self) -> None:
        """Open, create what a new database needs, refuse one of another version. Raises StorageError."""

    async def stop(self) -> None:
        """Close."""

    async def transact(self, batch: Sequence[Work]) -> list[Outcome]:
        """Run all works, in order, each undone alone if it raises; return once what succeeded is on disk.

        Never raises for the database's own troubles: those are the outcomes' StorageError.
        """

    def listen(self, lookout: Lookout | None) -> None:
        """Have `lookout` see the committed rows behind every transaction, before `transact` returns.

        A short cut, where their pages are at hand: it may be left out at any time, and `read` is the truth.
        """

    async def read(self, function: Callable[[Reader], T]) -> T:
        """Look at committed rows in one consistent view. Raises StorageError."""

    def hint(self, topic: str) -> None:
        """Have the other nodes look sooner at what has changed. A hint may come late, twice, or never."""

    def heed(self, told: Callable[[str], None] | None) -> None:
        """Have `told` called, in the event loop, with the topic of each hint; "" when some may have been missed."""
