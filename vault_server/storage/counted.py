"""A database that counts what is done with it, and remembers that a write has failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from vault_server.core.operation import Reader
from vault_server.core.tally import Tally
from vault_server.storage.database import Database, Lookout, Outcome, StorageError, Work

T = TypeVar("T")


class CountedDatabase:
    """See `storage.database.Database`; `database` does the work."""

    def __init__(self, database: Database, tally: Tally) -> None:
        self._database = database
        self._tally = tally
        self.has_failed_to_write = False
        """Since the last time that `prove_writing` went well."""

    @property
    def writers(self) -> int:
        """How many batches it can run at the same time."""
        return self._database.writers

    @property
    def batches_ahead(self) -> int:
        """How many batches each of those takes at once."""
        return self._database.batches_ahead

    @property
    def is_shared(self) -> bool:
        """Whether other nodes may use it, too."""
        return self._database.is_shared

    def hint(self, topic: str) -> None:
        """Have the other nodes look sooner."""
        self._database.hint(topic)

    def heed(self, told: Callable[[str], None] | None) -> None:
        """Have `told` called with the topic of each hint."""
        self._database.heed(told)

    async def start(self) -> None:
        """Open. Raises StorageError."""
        await self._database.start()

    async def stop(self) -> None:
        """Close."""
        await self._database.stop()

    async def transact(self, batch: Sequence[Work]) -> list[Outcome]:
        """One transaction for all of `batch`; its size, its time and what the database refused are counted."""
        began = time.perf_counter()
        outcomes = await self._database.transact(batch)
        self._tally.batch_seconds.add(time.perf_counter() - began)
        self._tally.batch_messages.add(len(batch))
        if failed := sum(isinstance(outcome.error, StorageError) for outcome in outcomes):
            self._tally.storage_errors["write"] += failed
            self.has_failed_to_write = True
        return outcomes

    def listen(self, lookout: Lookout | None) -> None:
        """Have `lookout` see the committed rows behind every transaction."""
        self._database.listen(lookout)

    async def read(self, function: Callable[[Reader], T]) -> T:
        """Look at committed rows. Raises StorageError, counted."""
        try:
            return await self._database.read(function)
        except StorageError:
            self._tally.storage_errors["read"] += 1
            raise

    async def prove_writing(self, work: Work) -> None:
        """Forget failures once `work`, which must really write, is on disk. Raises StorageError."""
        [outcome] = await self._database.transact([work])
        if outcome.error is not None:
            raise outcome.error
        self.has_failed_to_write = False


_: type[Database] = CountedDatabase
