"""One connection as the pump sees it, and what it has been sent."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Protocol

from protocol.envelope import Message
from vault_server.core.operation import Endpoint

SENT_KEPT = 64
"""Numbers remembered of what is settled, before they are forgotten together."""


class Subscriber(Protocol):
    """A connection, as the pump sees it."""

    def push(self, seq: int, message: Message) -> None:
        """Send one push; never blocks, never raises."""

    def revoke(self, allowances: Iterable[Hashable]) -> None:
        """These would answer something that has ended."""

    def grant(self, allowances: Iterable[Hashable]) -> None:
        """What the push that comes next lets the receiver do beside its rate limit."""


class Line:
    """What one subscriber has been sent."""

    __slots__ = ("endpoint", "is_behind", "last_seq", "receiver", "sent", "subscriber", "unacknowledged")

    def __init__(self, subscriber: Subscriber, receiver: str, endpoint: Endpoint) -> None:
        self.subscriber = subscriber
        self.receiver = receiver
        self.endpoint = endpoint
        self.last_seq = 0
        """How far its backlog has been read."""
        self.sent: set[int] = set()
        """What it was sent of what is not settled yet: at least all numbers above the pump's floor."""
        self.is_behind = True
        self.unacknowledged: dict[int, tuple[Hashable, ...]] = {}
        """What is sent and not acknowledged, with what its acknowledgement revokes."""

    def note(self, seq: int, floor: int) -> None:
        """This one has been sent; what is settled up to `floor` needs no remembering."""
        if not self.is_behind:
            self.last_seq = max(self.last_seq, seq)
        self.sent.add(seq)
        if len(self.sent) > SENT_KEPT:
            self.sent = {sent for sent in self.sent if sent > floor}
