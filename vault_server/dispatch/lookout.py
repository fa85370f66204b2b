"""What a commit has added to the outbox, rendered where it was written: its pages are at hand, and the event loop has
less to do. It knows who is connected by what it is told, which is late where another process writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import structlog

from protocol.envelope import Message
from vault_server.core.operation import Push, Reader, Row
from vault_server.exchange import outbox
from vault_server.storage.database import StorageError

logger = structlog.get_logger()

Key = tuple[str, str]
"""A receiver and his endpoint."""


class Pushed(NamedTuple):
    """A row of the outbox, as far as the pump needs it."""

    seq: int
    receiver: str
    endpoint: str
    kind: str
    standing: int


class Seen(NamedTuple):
    """Rows above some number, in order; the messages of those that somebody waits for, None for what cannot be shown;
    and `outbox.running` in that view."""

    rows: Sequence[Pushed]
    messages: Mapping[int, Message | None]
    running: tuple[int, int]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled with its rows as bare tuples, which cost a third."""
        return _seen, ([tuple(row) for row in self.rows], self.messages, self.running)


def _seen(rows: Sequence[Any], messages: Mapping[int, Message | None], running: tuple[int, int]) -> Seen:
    return Seen([Pushed(*row) for row in rows], messages, running)


class News(NamedTuple):
    """Since the last time: where to begin, if that has changed, and who has come (True) or gone."""

    after: int | None
    receivers: Mapping[Key, bool]


class Lookout:
    """See `storage.database.Lookout`. `saw` is set by whoever wants to know."""

    def __init__(self, pushes: Mapping[str, Push]) -> None:
        self._pushes = pushes
        self._after: int | None = None
        self._changed: dict[Key, bool] = {}
        self.saw: Callable[[Seen | None], None] = lambda _seen: None
        # Where it looks:
        self._seen_to = 0
        self._receivers: set[Key] = set()

    # in the event loop

    def begin(self, after: int) -> None:
        """Rows up to this number have been seen."""
        self._after = after

    def joined(self, key: Key) -> None:
        """Somebody waits for these."""
        self._changed[key] = True

    def left(self, key: Key) -> None:
        """Nobody does any more."""
        self._changed[key] = False

    def news(self) -> News | None:
        """What has to be known where it looks."""
        if self._after is None and not self._changed:
            return None
        news = News(self._after, self._changed)
        self._after, self._changed = None, {}
        return news

    # where it is written

    def learn(self, news: News | None) -> None:
        """What has happened meanwhile."""
        if news is None:
            return
        if news.after is not None:
            self._seen_to = news.after
        for key, is_there in news.receivers.items():
            if is_there:
                self._receivers.add(key)
            else:
                self._receivers.discard(key)

    def look(self, reader: Reader) -> Seen | None:
        """All that has been added since the last look: the pump's own read may show it what the next transaction has
        added, before the replies of that. What fails here is read, and complained of, by the pump."""
        with suppress(Exception):
            seen = more = self.read(reader, self._seen_to, self._is_wanted)
            while len(more.rows) >= outbox.BATCH:
                more = self.read(reader, more.rows[-1].seq, self._is_wanted)
                seen = Seen([*seen.rows, *more.rows], {**seen.messages, **more.messages}, seen.running)
            if seen.rows:
                self._seen_to = seen.rows[-1].seq
            return seen
        return None

    def _is_wanted(self, row: Row) -> bool:
        return (row["receiver"], row["endpoint"]) in self._receivers

    # anywhere

    def read(self, reader: Reader, after: int, is_wanted: Callable[[Row], bool]) -> Seen:
        """The next rows after that number, with the messages of those that are wanted."""
        running = outbox.running(reader)
        rows = outbox.since(reader, after)
        messages = {row["seq"]: self.message(reader, row) for row in rows if is_wanted(row)}
        return Seen([pushed(row) for row in rows], messages, running)

    def message(self, reader: Reader, row: Row) -> Message | None:
        """What a row says; None when it has no object any more, or cannot be shown."""
        try:
            return self._pushes[row["kind"]].render(reader, row)
        except StorageError:
            raise
        except Exception as error:  # one row that cannot be shown must not hold up all others
            logger.error("push.failed", seq=row["seq"], kind=row["kind"], exc_info=error)
            return None


def pushed(row: Row) -> Pushed:
    """The pump's part of a row."""
    return Pushed(row["seq"], row["receiver"], row["endpoint"], row["kind"], row["standing"])
