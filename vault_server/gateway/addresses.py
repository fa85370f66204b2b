"""Abuse by address, before any key is proved: connections, half-open handshakes, new connections and refused hellos.

These limits never punish a key. All is in memory, and bounded however many addresses somebody has.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from enum import Enum

from vault_server.exchange.windows import Window
from vault_server.settings import Settings

REMEMBERED_MAX = 65_536
"""Addresses without a connection whose last doings are remembered."""

TURNED_AWAY_MAX = 16
"""Connections of one address that wait to be told so with HTTP 429; more are hung up on at once."""

CROWDED_RETRY_MS = 5_000


class Verdict(Enum):
    """What becomes of a new connection."""

    WELCOME = "welcome"
    TURNED_AWAY = "turned away"
    HUNG_UP_ON = "hung up on"


class _Record:
    """What one address does now and has done lately."""

    __slots__ = ("arrivals", "connections", "failures", "handshakes", "turned_away")

    def __init__(self, arrivals: Window, failures: Window) -> None:
        self.connections = 0
        self.handshakes = 0
        self.turned_away = 0
        self.arrivals = arrivals
        self.failures = failures

    @property
    def is_absent(self) -> bool:
        return self.connections == 0 and self.turned_away == 0


class Visit:
    """One connection's entry in the book. `wait_ms` and `reason` say why it is not welcome."""

    __slots__ = ("_book", "_is_handshaking", "_key", "_record", "reason", "verdict", "wait_ms")

    def __init__(self, book: AddressBook, key: str, record: _Record, reason: str, wait_ms: int) -> None:
        self._book = book
        self._key = key
        self._record = record
        self.reason = reason
        self.wait_ms = wait_ms
        self._is_handshaking = not reason
        if not reason:
            self.verdict = Verdict.WELCOME
            record.connections += 1
            record.handshakes += 1
        else:
            record.turned_away += 1
            crowd = record.turned_away > TURNED_AWAY_MAX
            self.verdict = Verdict.HUNG_UP_ON if crowd else Verdict.TURNED_AWAY

    def proved(self) -> None:
        """It has proved a key."""
        if self._is_handshaking:
            self._is_handshaking = False
            self._record.handshakes -= 1

    def failed(self, now_ms: int) -> None:
        """Its hello was refused, or a seal did not hold."""
        self._record.failures.add(now_ms)

    def left(self, now_ms: int) -> None:
        """It is gone; said once."""
        self.proved()
        if self.verdict is Verdict.WELCOME:
            self._record.connections -= 1
        else:
            self._record.turned_away -= 1
        if self._record.is_absent:
            self._book.remember(self._key, self._record, now_ms)


class AddressBook:
    """Every address that is here or was lately; an IPv6 address stands for its whole prefix."""

    def __init__(self, settings: Settings, remembered_max: int = REMEMBERED_MAX) -> None:
        self._connections_max = settings.connections_per_address_max
        self._handshakes_max = settings.handshakes_per_address_max
        self._arrivals_max = settings.new_connections_per_address_max
        self._failures_max = settings.failed_hellos_per_address_max
        self._span_ms = settings.rate_limit_window * 1000
        self._prefix_bits = settings.ipv6_prefix_bits
        self._remembered_max = remembered_max
        self._present: dict[str, _Record] = {}
        self._absent: OrderedDict[str, tuple[int, _Record]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._present) + len(self._absent)

    def enter(self, address: str, now_ms: int) -> Visit:
        """A connection has come. `now_ms` never goes back."""
        key = counted_as(address, self._prefix_bits)
        record = self._record(key)
        reason, wait_ms = self._objection(record, now_ms)
        if not reason:
            record.arrivals.add(now_ms)
        return Visit(self, key, record, reason, wait_ms)

    def remember(self, key: str, record: _Record, now_ms: int) -> None:
        """Nobody is there any more; what was done lately still counts for a while."""
        del self._present[key]
        self._absent[key] = (now_ms, record)
        while self._absent:
            left_ms, _ = next(iter(self._absent.values()))
            if len(self._absent) <= self._remembered_max and now_ms - left_ms < self._span_ms:
                return
            self._absent.popitem(last=False)

    def _record(self, key: str) -> _Record:
        record = self._present.get(key)
        if record is None:
            _, record = self._absent.pop(key, (0, None))
            if record is None:
                record = _Record(Window(self._arrivals_max, self._span_ms), Window(self._failures_max, self._span_ms))
            self._present[key] = record
        return record

    def _objection(self, record: _Record, now_ms: int) -> tuple[str, int]:
        """Why an address may not have one connection more, and how long to wait; no words when it may."""
        if record.connections >= self._connections_max:
            return f"it has {self._connections_max} connections (connections_per_address_max)", CROWDED_RETRY_MS
        if record.handshakes >= self._handshakes_max:
            return f"{self._handshakes_max} of its handshakes are under way", CROWDED_RETRY_MS
        seconds = self._span_ms // 1000
        if wait_ms := record.failures.wait_ms(now_ms):
            return f"{self._failures_max} of its hellos were refused within {seconds} s", wait_ms
        if wait_ms := record.arrivals.wait_ms(now_ms):
            return f"it has made {self._arrivals_max} connections within {seconds} s", wait_ms
        return "", 0


def plain_address(text: str) -> str:
    """An IP address as it is compared and logged: no zone, IPv4 as IPv4. What is none stays as it is."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def counted_as(address: str, prefix_bits: int) -> str:
    """Who owns one IPv6 address owns all behind its prefix: they count as one."""
    try:
        parsed = ipaddress.ip_address(plain_address(address))
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.IPv6Network((int(parsed), prefix_bits), strict=False))
