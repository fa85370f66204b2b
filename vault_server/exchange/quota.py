"""How many requests a subject has left: a sliding window that all doors of a system share. It warns, and bans nobody.

In memory of one node, touched by the event loop alone; times are milliseconds that never go back.
"""

from __future__ import annotations

from typing import NamedTuple

from protocol.errors import Code
from vault_server.core.operation import Refusal
from vault_server.exchange.windows import Windows

SUBJECTS_MAX = 65_536


class Spent(NamedTuple):
    """What is left after a request; `wait_ms`: it was one too many, and was not counted."""

    limit: int
    remaining: int
    reset_ms: int
    """How long until the oldest request that counts does so no more."""
    wait_ms: int

    def refusal(self, subject: str, span_ms: int) -> Refusal:
        """What one too many is told."""
        who = "Your address" if subject.startswith("address:") else "Your key or account"
        return Refusal(
            Code.RATE_LIMITED,
            f"{who} has sent {self.limit} requests within {span_ms // 1000} s.",
            f"Wait {-(-self.wait_ms // 1000)} s before the next one; REST and the socket count together.",
            retry_after_ms=self.wait_ms,
        )


class Quota:
    """At most `limit` requests of a subject (agent:<id>, user:<id>, address:<address>) in any `span_ms`."""

    def __init__(self, limit: int, span_ms: int) -> None:
        self.limit = limit
        self.span_ms = span_ms
        self._windows = Windows(limit, span_ms, SUBJECTS_MAX)

    def spend(self, subject: str, now_ms: int) -> Spent:
        """Count a request, unless it is one too many."""
        window = self._windows.of(subject, now_ms)
        wait_ms = window.wait_ms(now_ms)
        if wait_ms == 0:
            window.add(now_ms)
        return Spent(self.limit, self.limit - window.count(now_ms), window.reset_ms(now_ms), wait_ms)

    def check(self, subject: str, now_ms: int) -> Spent:
        """The same. Raises Refusal(RATE_LIMITED) for one too many."""
        spent = self.spend(subject, now_ms)
        if spent.wait_ms:
            raise spent.refusal(subject, self.span_ms)
        return spent
