"""Outbox rows -> whoever is connected. A row is sent once on each connection, until it is gone.

New rows are read and rendered right behind the commit that adds them, by a lookout beside the writer (lookout.py), or
else in a reader's thread, in order. A connection that joins, or that has `push_window` pushes unacknowledged, is served
from its own backlog: rows after the last it was sent.

Where several write at once, a row may appear behind one with a higher number. So rows are read from a floor on, below
which none can appear any more (horizon.py), and those that were handled before are left out. Other nodes are told by a
hint when there is something for whoever is not here; each looks by itself every `POLL_SECONDS` all the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

import structlog

from protocol.envelope import Message
from vault_server.core.operation import Endpoint, Push, Reader, Row
from vault_server.core.tally import Tally
from vault_server.dispatch.horizon import Horizon
from vault_server.dispatch.line import Line, Subscriber
from vault_server.dispatch.lookout import Key, Lookout, Pushed, Seen, pushed
from vault_server.exchange import outbox
from vault_server.settings import Settings
from vault_server.storage.database import Database, StorageError

logger = structlog.get_logger()

RETRY_SECONDS = 0.5
POLL_SECONDS = 0.5
"""The longest that a push for a peer of this node waits when another node has written it and no hint arrives."""
HINT = "push"
BACKLOGS_A_TURN = 2
"""Connections whose backlog is read before new rows are looked at again."""


Rendered = tuple[Pushed, Message | None]


class Pump:
    """`start` reads where the outbox ends; what is older reaches its receivers when they join."""

    def __init__(
        self, settings: Settings, database: Database, pushes: Mapping[str, Push], tally: Tally | None = None
    ) -> None:
        self._window = settings.push_window
        self._database = database
        self._pushes = pushes
        self._tally = tally or Tally()
        self._lines: dict[Key, list[Line]] = {}
        self._by_subscriber: dict[Subscriber, Line] = {}
        self._behind: dict[Line, None] = {}
        self._horizon = Horizon()
        self._has_foreign = False
        self._has_own = False
        self._seen: deque[Seen | None] = deque()
        self._unreplied: list[Seen | None] = []
        self.lookout = Lookout(pushes)
        self.lookout.saw = self._saw
        self._is_shown = False
        self._must_read = False
        self._wake = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin after what is in the outbox now."""
        if self._runner is None:
            self._seen.clear()
            self._unreplied.clear()
            self._is_shown = self._must_read = False
            self._horizon.begin(*await self._database.read(_beginning))
            self.lookout.begin(self._horizon.floor)
            await self._send_new()
            self._database.listen(self.lookout)
            self._runner = asyncio.create_task(self._run(), name="pump")

    async def stop(self) -> None:
        """Send nothing more; rows stay for the next start."""
        self._database.listen(None)
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
            self._runner = None

    def wake(self) -> None:
        """A batch is over, and its replies go out in this turn of the loop: rows may have been added here.

        Said before the replies, so that what is pushed in the next turn leaves in one write with them.
        """
        self._seen += self._unreplied
        self._unreplied.clear()
        self._has_own = True
        self._wake.set()

    def hinted(self) -> None:
        """Another node may have added rows."""
        self._wake.set()

    def join(self, subscriber: Subscriber, receiver: str, endpoint: Endpoint) -> None:
        """Send this connection all that waits for the receiver, and what comes."""
        line = Line(subscriber, receiver, endpoint)
        self._by_subscriber[subscriber] = line
        key = (receiver, endpoint.value)
        self._lines.setdefault(key, []).append(line)
        self.lookout.joined(key)
        self._behind[line] = None
        self._wake.set()

    def leave(self, subscriber: Subscriber) -> None:
        """The connection is gone; what it did not acknowledge stays."""
        line = self._by_subscriber.pop(subscriber, None)
        if line is None:
            return
        key = (line.receiver, line.endpoint.value)
        self._lines[key].remove(line)
        if not self._lines[key]:
            del self._lines[key]
            self.lookout.left(key)
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
            self._wake.set()

    async def _run(self) -> None:
        patience = POLL_SECONDS if self._database.is_shared else None
        while True:
            with suppress(TimeoutError):  # not wait_for: before Python 3.12 it may swallow being cancelled
                async with asyncio.timeout(patience):
                    await self._wake.wait()
            self._wake.clear()
            # Taken before the rows are read: what is done meanwhile may not be among them, and is hinted at next time.
            has_own, self._has_own = self._has_own, False
            try:
                await self._send_new()
                self._hint(has_own)
                await self._send_backlogs()
            except StorageError as error:
                logger.error("storage.failed", order="push", reason=str(error))
                self._has_own = self._has_own or has_own
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()
            except Exception:
                logger.exception("pump.failed")
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()

    def _saw(self, seen: Seen | None) -> None:
        """From the first one on, all that is added here is shown: to read as well would be in vain.

        It is looked at behind the batch's replies (`wake`): a solver that reads of more work before it reads that
        its answer was taken has no hand free, and gives the work back.
        """
        self._unreplied.append(seen)
        self._is_shown = True

    async def _send_new(self) -> None:
        if self._is_shown and not self._seen and not self._must_read:
            return
        seq, oldest = self._horizon.floor, None
        present: set[int] = set()
        while True:
            seen = self._seen.popleft() if self._seen else None
            is_whole = seen is not None
            if seen is None:
                self._must_read = True  # if this fails, the next time
                seen = await self._database.read(partial(self._read_new, seq=seq))
                self._must_read = False
                is_whole = len(seen.rows) < outbox.BATCH
            running_from, running_to = seen.running
            oldest = running_from if oldest is None else oldest
            for row in seen.rows:
                self._hand_out(row, seen)
            if seen.rows:
                present.update(row.seq for row in seen.rows)
                seq = max(seq, seen.rows[-1].seq)
                self._horizon.saw(seq, running_to)
            if is_whole and not self._seen:
                break
        if self._horizon.settle(oldest, present):
            self._read_all_again()

    def _hand_out(self, row: Pushed, seen: Seen) -> None:
        seq = row.seq
        if self._horizon.is_handled(seq):
            return
        lines = self._lines.get((row.receiver, row.endpoint))
        if lines is None:
            self._has_foreign = True
            return
        for line in lines:
            if seq in line.sent:
                continue
            if line.is_behind or seq not in seen.messages:  # who has come since it was looked at reads it himself
                self._read_again(line, seq)
            else:
                self._send(line, row, seen.messages[seq])

    def _read_again(self, line: Line, seq: int) -> None:
        """Its backlog is read from there on, if it has been read beyond."""
        line.last_seq = min(line.last_seq, seq - 1)
        if not line.is_behind:
            line.is_behind = True
            self._behind[line] = None
            self._wake.set()

    def _read_all_again(self) -> None:
        """Who joined while transactions from before the start were under way may have been read to beyond a push."""
        for lines in self._lines.values():
            for line in lines:
                line.last_seq, line.is_behind = 0, True
                self._behind[line] = None

    def _hint(self, has_own: bool) -> None:
        """Tell the other nodes, once this one has done something and there are pushes for whoever is not here."""
        if has_own and self._has_foreign:
            self._has_foreign = False
            self._database.hint(HINT)

    def _read_new(self, reader: Reader, seq: int) -> Seen:
        return self.lookout.read(reader, seq, self._is_wanted)

    def _is_wanted(self, row: Row) -> bool:
        """Asked in other threads: membership only, and a miss is made good by join()."""
        return (row["receiver"], row["endpoint"]) in self._lines and not self._horizon.is_handled(row["seq"])

    async def _send_backlogs(self) -> None:
        """A few connections' backlogs, then what is new has its turn again."""
        for line in tuple(self._behind)[:BACKLOGS_A_TURN]:
            await self._send_backlog(line)  # if this raises, the line stays and is tried again
            if line in self._behind:
                self._behind[line] = self._behind.pop(line)  # behind those that have not had their turn
        if self._behind:
            self._wake.set()

    async def _send_backlog(self, line: Line) -> None:
        room = self._window - len(line.unacknowledged)
        if room <= 0:
            self._behind.pop(line, None)  # until it acknowledges
            return
        count = room + sum(seq > line.last_seq for seq in line.sent)
        found, rendered = await self._database.read(partial(self._read_backlog, line=line, count=count))
        # What was added since _send_new comes with the next one, be it in this snapshot or not: nothing is missed, and
        # nothing comes before the replies of its transaction.
        ripe = [(row, message) for row, message in rendered if self._horizon.is_handled(row.seq)]
        for row, message in ripe:
            line.last_seq = max(line.last_seq, row.seq)
            self._send(line, row, message)
        line.is_behind = found == count and len(ripe) == len(rendered)
        if not line.is_behind or len(line.unacknowledged) >= self._window:
            self._behind.pop(line, None)

    def _read_backlog(self, reader: Reader, line: Line, count: int) -> tuple[int, list[Rendered]]:
        rows = outbox.of_receiver(reader, line.receiver, line.endpoint, line.last_seq, count)
        unsent = [row for row in rows if row["seq"] not in line.sent]
        return len(rows), [(pushed(row), self.lookout.message(reader, row)) for row in unsent]

    def _send(self, line: Line, row: Pushed, message: Message | None) -> None:
        seq = row.seq
        if seq in line.sent:
            return
        line.note(seq, self._horizon.floor)
        if message is None:
            return
        push = self._pushes[row.kind]
        self._tally.pushed[row.kind] += 1
        allowances = [] if push.grants is None else [*push.grants(message)]
        if not row.standing:
            line.unacknowledged[seq] = () if push.revokes is None else tuple(push.revokes(message))
            if len(line.unacknowledged) >= self._window:
                line.is_behind = True
            allowances.append(outbox.acknowledgement(seq))
        line.subscriber.grant(allowances)
        line.subscriber.push(seq, message)


def _beginning(reader: Reader) -> tuple[int, int]:
    """Where a pump begins: nobody is connected yet, and what is older reaches its receivers when they join."""
    return outbox.last(reader), outbox.running(reader)[1]
