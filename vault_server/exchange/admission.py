"""How much a key may say: a sliding window for each key and endpoint, in memory; one warning, then a violation.

Every message counts one, also what is no message. `exit` is free, and what a push has granted is free once: its `ack`,
and the orders that answer it (seed 000 §3.4, design §7). What a violation leads to, `bans` and the gateway say.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from protocol.session import Ack, Exit
from vault_server.core.operation import Caller, Endpoint, Operation
from vault_server.exchange import outbox
from vault_server.exchange.quota import Quota
from vault_server.exchange.windows import Windows
from vault_server.settings import Settings

KEYS_MAX = 65_536
"""Windows remembered for one endpoint."""

GRANTS_PER_ASSIGNMENT = 4
"""An acceptance, an answer, a proof, a word on a complaint."""


RENEWALS_MAX = 20
"""Connections of one key in a window on which pushes grant anything: coming again and again is no way around."""


class Violation(Exception):
    """A key goes on before the time it was told to wait for."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Allowances:
    """What one connection may still send beside its window. Bounded: the oldest grant gives way."""

    __slots__ = ("_count_max", "_granted")

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._granted: dict[Hashable, None] = {}

    def grant(self, allowances: Iterable[Hashable]) -> None:
        """Each may be used once; granting again renews it."""
        for allowance in allowances:
            self._granted.pop(allowance, None)
            self._granted[allowance] = None
        while len(self._granted) > self._count_max:
            del self._granted[next(iter(self._granted))]

    def revoke(self, allowances: Iterable[Hashable]) -> None:
        """What they would answer has ended: the dead must not push out the living."""
        for allowance in allowances:
            self._granted.pop(allowance, None)

    def take(self, allowance: Hashable) -> bool:
        """Use one; whether it was there."""
        if allowance not in self._granted:
            return False
        del self._granted[allowance]
        return True


class Admission:
    """The counts of all keys. Touched by the event loop alone; times are milliseconds that never go back."""

    def __init__(self, settings: Settings, operations: Iterable[Operation]) -> None:
        self._limits: Mapping[Endpoint, int] = {
            Endpoint.SOLVER: settings.max_requests_per_window,
            Endpoint.CLIENT: settings.max_requests_per_window_client,
            Endpoint.SUBNET: settings.max_requests_per_window_client,
        }
        self.accounts = Quota(settings.hive_requests_max, settings.hive_requests_window_ms)
        """What agents and people have left, on whichever door; their excess is refused, and never banned for."""
        self._window_s = settings.rate_limit_window
        self._arrivals = Windows(RENEWALS_MAX, self._window_s * 1000, KEYS_MAX)
        self._allowances_max = GRANTS_PER_ASSIGNMENT * settings.capacity_max + settings.push_window
        # Several `ack`s become one order (outbox.Acknowledged); they are messages of their own all the same.
        self._allowance_of: dict[type, Callable[[Any], Hashable | None]] = {Ack: outbox.allowance} | {
            operation.order: operation.allowance for operation in operations if operation.allowance is not None
        }
        self._windows = {
            endpoint: Windows(limit, self._window_s * 1000, KEYS_MAX) for endpoint, limit in self._limits.items()
        }

    def allowances(self, caller: Caller, now_ms: int) -> Allowances:
        """What a new connection of the caller may be granted."""
        arrivals = self._arrivals.of(f"{caller.endpoint}:{caller.subject}", now_ms)
        if arrivals.wait_ms(now_ms):
            return Allowances(0)
        arrivals.add(now_ms)
        return Allowances(self._allowances_max)

    def admit(self, caller: Caller, message: Message | None, granted: Allowances, now_ms: int) -> None:
        """Count a message (None: what is none). Raises MessageError(RATE_LIMITED), and Violation for the next one."""
        if isinstance(message, Exit):
            return
        allowance_of = self._allowance_of.get(type(message))
        if allowance_of is not None:
            allowance = allowance_of(message)
            if allowance is not None and granted.take(allowance):
                return
        self._count(caller, now_ms)

    def forget(self, fingerprint: str) -> None:
        """Begin anew on every endpoint: who has served a ban owes nothing."""
        for windows in self._windows.values():
            windows.forget(fingerprint)

    def _count(self, caller: Caller, now_ms: int) -> None:
        if caller.endpoint is Endpoint.HIVE:
            self.accounts.check(caller.subject, now_ms)
            return
        window = self._windows[caller.endpoint].of(caller.fingerprint, now_ms)
        wait_ms = window.wait_ms(now_ms)
        if wait_ms == 0:
            window.add(now_ms)
            return
        limit = self._limits[caller.endpoint]
        if window.warned_until_ms > now_ms:
            raise Violation(f"more than {limit} messages in {self._window_s} s on /{caller.endpoint}")
        window.warned_until_ms = now_ms + wait_ms
        raise MessageError(
            Code.RATE_LIMITED,
            f"Your key has sent {limit} messages within {self._window_s} s on /{caller.endpoint}.",
            f"Wait {wait_ms} ms before the next one: another one before that bans your key.",
            retry_after_ms=wait_ms,
        )
