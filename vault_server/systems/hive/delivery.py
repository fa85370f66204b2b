"""One event on its way to a webhook, in the form of Standard Webhooks: what is sent, and how it is signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from protocol import json_text
from protocol.envelope import Message
from protocol.hive_json import to_json

SECRET_PREFIX = "whsec_"  # noqa: S105
TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is sent to one webhook next. `attempt` counts from 1; `at_ms` is when it is made.

    Without a `body` the event has no object any more. The URL may hold a token, and is not shown.
    """

    webhook_id: int
    seq: int
    attempt: int
    kind: str
    message_id: str
    url: str = field(repr=False)
    body: bytes | None = field(repr=False)
    secret: str = field(repr=False)
    previous_secret: str | None = field(default=None, repr=False)
    previous_until_ms: int = 0
    at_ms: int = 0

    def headers(self) -> dict[str, str]:
        """The headers of this attempt. Raises AssertionError without a body."""
        assert self.body is not None, "what has no object is not sent"
        seconds = self.at_ms // 1000
        signed = f"{self.message_id}.{seconds}.".encode() + self.body
        return {
            "Content-Type": "application/json",
            "webhook-id": self.message_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": " ".join(_signature(secret, signed) for secret in self._secrets()),
        }

    def _secrets(self) -> Sequence[str]:
        if self.previous_secret is None or self.at_ms >= self.previous_until_ms:
            return (self.secret,)
        return (self.secret, self.previous_secret)


def message_id(seq: int, created_ms: int) -> str:
    """How receivers know one delivery again, whatever becomes of the database: a backup may repeat a `seq`."""
    return f"msg_{seq}_{created_ms}"


def body_of(kind: str, event: Message) -> bytes:
    """The event as JSON: its name, when it happened, and what a socket is told of it."""
    data = to_json(event)
    return json_text.canonical({"type": kind, TIMESTAMP: data[TIMESTAMP], "data": data}).encode()


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
