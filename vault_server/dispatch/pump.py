"""Outbox rows -> whoever is connected. A row is sent once on each connection, until it is gone.

New rows are read and rendered right behind the commit that adds them, in the writer's thread, or else in a reader's, in
order. A connection that joins, or that has `push_window` pushes unacknowledged, is served from its own backlog: rows
after the last it was sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

import structlog

from protocol.envelope import Message
from vault_server.core.operation import Endpoint, Push, Reader, Row
from vault_server.core.tally import Tally
from vault_server.exchange import outbox
from vault_server.settings import Settings
from vault_server.storage.database import Database, StorageError

logger = structlog.get_logger()

RETRY_SECONDS = 0.5
BACKLOGS_A_TURN = 2
"""Connections whose backlog is read before new rows are looked at again."""


class Subscriber(Protocol):
    """A connection, as the pump sees it."""

    def push(self, seq: int, message: Message) -> None:
        """Send one push; never blocks, never raises."""

    def revoke(self, allowances: Iterable[Hashable]) -> None:
        """These would answer something that has ended."""

    def grant(self, allowances: Iterable[Hashable]) -> None:
        """What the push that comes next lets the receiver do beside its rate limit."""


class _Line:
    """What one subscriber has been sent."""

    __slots__ = ("endpoint", "is_behind", "last_seq", "receiver", "subscriber", "unacknowledged")

    def __init__(self, subscriber: Subscriber, receiver: str, endpoint: Endpoint) -> None:
        self.subscriber = subscriber
        self.receiver = receiver
        self.endpoint = endpoint
        self.last_seq = 0
        self.is_behind = True
        self.unacknowledged: dict[int, tuple[Hashable, ...]] = {}
        """What is sent and not acknowledged, with what its acknowledgement revokes."""


Rendered = tuple[Row, Message | None]

Seen = tuple[Sequence[Row], list[Rendered]]
"""Rows that are new to the pump, and those of them that somebody connected waits for."""


class Pump:
    """`start` reads where the outbox ends; what is older reaches its receivers when they join."""

    def __init__(
        self, settings: Settings, database: Database, pushes: Mapping[str, Push], tally: Tally | None = None
    ) -> None:
        self._window = settings.push_window
        self._database = database
        self._pushes = pushes
        self._tally = tally or Tally()
        self._lines: dict[tuple[str, str], list[_Line]] = {}
        self._by_subscriber: dict[Subscriber, _Line] = {}
        self._behind: dict[_Line, None] = {}
        self._cursor = 0
        self._seen: deque[Seen | None] = deque()
        self._seen_to = 0
        self._wake = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin after what is in the outbox now."""
        if self._runner is None:
            self._seen.clear()
            self._cursor = self._seen_to = await self._database.read(outbox.last)
            self._database.listen(self._look)
            self._runner = asyncio.create_task(self._run(), name="pump")

    async def stop(self) -> None:
        """Send nothing more; rows stay for the next start."""
        self._database.listen(None)
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
            self._runner = None

    def wake(self) -> None:
        """Rows may have been added."""
        self._wake.set()

    def join(self, subscriber: Subscriber, receiver: str, endpoint: Endpoint) -> None:
        """Send this connection all that waits for the receiver, and what comes."""
        line = _Line(subscriber, receiver, endpoint)
        self._by_subscriber[subscriber] = line
        self._lines.setdefault((receiver, endpoint.value), []).append(line)
        self._behind[line] = None
        self.wake()

    def leave(self, subscriber: Subscriber) -> None:
        """The connection is gone; what it did not acknowledge stays."""
        line = self._by_subscriber.pop(subscriber, None)
        if line is None:
            return
        key = (line.receiver, line.endpoint.value)
        self._lines[key].remove(line)
        if not self._lines[key]:
            del self._lines[key]
        self._behind.pop(line, None)

    def acknowledged(self, subscriber: Subscriber, seq: int) -> None:
        """Make room in the connection's window."""
        line = self._by_subscriber.get(subscriber)
        if line is None:
            return
        revoked = line.unacknowledged.pop(seq, ())
        if revoked:  # not before: what was under way when the push was sent is as free as it was
            line.subscriber.revoke(revoked)
        if line.is_behind and len(line.unacknowledged) <= self._window // 2:
            self._behind[line] = None
            self.wake()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._send_new()
                await self._send_backlogs()
            except StorageError as error:
                logger.error("storage.failed", order="push", reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()
            except Exception:
                logger.exception("pump.failed")
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()

    async def _send_new(self) -> None:
        while True:
            seen = self._seen.popleft() if self._seen else None
            if seen is None:
                seen = await self._database.read(partial(self._read_new, seq=self._cursor))
            rows, rendered = seen
            for row, message in rendered:
                for line in self._lines.get((row["receiver"], row["endpoint"]), ()):
                    if not line.is_behind:
                        self._send(line, row, message)
            if rows:
                self._cursor = max(self._cursor, rows[-1]["seq"])
            if len(rows) < outbox.BATCH and not self._seen:
                return

    def _look(self, reader: Reader) -> None:
        """What a commit has added, in the writer's thread. What fails here is read, and complained of, in `_run`."""
        seen: Seen | None = None
        with suppress(Exception):
            seen = self._read_new(reader, max(self._seen_to, self._cursor))
            if seen[0]:
                self._seen_to = seen[0][-1]["seq"]
        self._seen.append(seen)

    def _read_new(self, reader: Reader, seq: int) -> Seen:
        rows = outbox.since(reader, seq)
        lines = self._lines  # read from other threads: membership only, and a miss is made good by join()
        wanted = [row for row in rows if (row["receiver"], row["endpoint"]) in lines]
        return rows, self._render(reader, wanted)

    async def _send_backlogs(self) -> None:
        """A few connections' backlogs, then what is new has its turn again."""
        for line in tuple(self._behind)[:BACKLOGS_A_TURN]:
            await self._send_backlog(line)  # if this raises, the line stays and is tried again
            if line in self._behind:
                self._behind[line] = self._behind.pop(line)  # behind those that have not had their turn
        if self._behind:
            self.wake()

    async def _send_backlog(self, line: _Line) -> None:
        room = self._window - len(line.unacknowledged)
        if room <= 0:
            self._behind.pop(line, None)  # until it acknowledges
            return
        rows, rendered = await self._database.read(partial(self._read_backlog, line=line, room=room))
        for row, message in rendered:
            self._send(line, row, message)
        # What was added since _send_new is in this snapshot, or comes with the next _send_new: nothing is missed.
        line.is_behind = len(rows) == room
        if not line.is_behind or len(line.unacknowledged) >= self._window:
            self._behind.pop(line, None)

    def _read_backlog(self, reader: Reader, line: _Line, room: int) -> tuple[Sequence[Row], list[Rendered]]:
        rows = outbox.of_receiver(reader, line.receiver, line.endpoint, line.last_seq, room)
        return rows, self._render(reader, rows)

    def _render(self, reader: Reader, rows: Sequence[Row]) -> list[Rendered]:
        return [(row, self._message(reader, row)) for row in rows]

    def _message(self, reader: Reader, row: Row) -> Message | None:
        try:
            return self._pushes[row["kind"]].render(reader, row)
        except StorageError:
            raise
        except Exception as error:  # one row that cannot be shown must not hold up all others
            logger.error("push.failed", seq=row["seq"], kind=row["kind"], exc_info=error)
            return None

    def _send(self, line: _Line, row: Row, message: Message | None) -> None:
        seq: int = row["seq"]
        if seq <= line.last_seq:
            return
        line.last_seq = seq
        if message is None:
            return
        if not row["standing"]:
            revokes = self._pushes[row["kind"]].revokes
            line.unacknowledged[seq] = () if revokes is None else tuple(revokes(message))
            if len(line.unacknowledged) >= self._window:
                line.is_behind = True
        self._tally.pushed[row["kind"]] += 1
        grants = self._pushes[row["kind"]].grants
        if grants is not None:
            line.subscriber.grant(grants(message))
        if not row["standing"]:
            line.subscriber.grant((outbox.acknowledgement(seq),))
        line.subscriber.push(seq, message)
