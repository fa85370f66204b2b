"""Bans: rows that say who is kept out until when (seed 000 §3.4). They end by themselves, and survive a restart.

A key that goes on in spite of its warning is banned for `ban_duration`, twice as long each time it comes to that
within a day; from the second time on it loses standing, too. An operator's bans neither double nor cost standing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocol.errors import Code
from protocol.identity import FINGERPRINT_BYTES
from vault_server.core.operation import (
    BanChanged,
    Caller,
    Endpoint,
    Gauge,
    Operation,
    Penalty,
    Reader,
    Refusal,
    Report,
    System,
    Transaction,
    log,
)
from vault_server.storage.queries import load

q = load(__package__)

DAY_MS = 24 * 3600 * 1000
KEPT_MS = 90 * DAY_MS
"""How long a ban that has ended is remembered."""

LIFTED_MS = 120_000
"""How long every node is told again of a ban that was lifted: longer than any goes without looking."""

FINGERPRINT_LENGTH = 2 * FINGERPRINT_BYTES
SECONDS_MAX = 10 * 365 * 24 * 3600
REASON_LENGTH_MAX = 200
SHOWN_MAX = 1000


@dataclass(frozen=True, slots=True)
class BanOffender:
    """The server: a key went on in spite of its warning, at that endpoint."""

    fingerprint: str
    endpoint: Endpoint
    reason: str


@dataclass(frozen=True, slots=True)
class BanKey:
    """An operator keeps a key out. The reply is a `KeyBanned`."""

    fingerprint: str
    seconds: int
    reason: str


@dataclass(frozen=True, slots=True)
class UnbanKey:
    """An operator ends all bans of a key. The reply is a `KeyUnbanned`."""

    fingerprint: str


@dataclass(frozen=True, slots=True)
class RestoreBans:
    """The server starts, or another node may have changed something: who was kept out still is."""


@dataclass(frozen=True, slots=True)
class KeyBanned:
    """A key is kept out until `until` (ms): the longest of its bans."""

    fingerprint: str
    until: int


@dataclass(frozen=True, slots=True)
class KeyUnbanned:
    """`lifted` bans were ended; 0: there was none."""

    fingerprint: str
    lifted: int


def duration_ms(first_ms: int, earlier: int) -> int:
    """How long a ban lasts after `earlier` others within a day: doubled each time, up to a day."""
    return max(first_ms, min(DAY_MS, first_ms << min(earlier, 32)))


class Bans:
    """The operations. `penalties` lower the standing of who is banned again, by the endpoint where it happened."""

    def __init__(self, ban_duration_s: int, penalties: Mapping[Endpoint, Penalty]) -> None:
        self._first_ms = ban_duration_s * 1000
        self._penalties = penalties

    def ban_offender(self, tx: Transaction, _caller: Caller, order: BanOffender, now_ms: int) -> None:
        """Write the ban down; from the second within a day on it costs standing (`reduce_solver_reputation`)."""
        subject = _subject(order.fingerprint)
        row = tx.one(q.count_recent_bans, subject=subject, since=now_ms - DAY_MS)
        assert row is not None, "an aggregate has a row"
        earlier: int = row["bans"]
        until_ms = now_ms + duration_ms(self._first_ms, earlier)
        _ban(tx, order.fingerprint, "rate_limit", order.reason, now_ms, until_ms)
        penalty = self._penalties.get(order.endpoint)
        if earlier and penalty is not None:
            penalty(tx, order.fingerprint, now_ms)

    def ban_key(self, tx: Transaction, _caller: Caller, order: BanKey, now_ms: int) -> KeyBanned:
        """An operator's ban; a longer one that is in force already stays in force."""
        _check_fingerprint(order.fingerprint)
        if not 1 <= order.seconds <= SECONDS_MAX:
            raise _bad("seconds", f"is not in 1..{SECONDS_MAX}", "Give the length of the ban in seconds.")
        if not (order.reason.isprintable() and 1 <= len(order.reason) <= REASON_LENGTH_MAX):
            raise _bad(
                "reason",
                f"is not 1 to {REASON_LENGTH_MAX} printable characters",
                "Say why in a short sentence; the key's owner is shown it.",
            )
        until_ms = now_ms + order.seconds * 1000
        return KeyBanned(order.fingerprint, _ban(tx, order.fingerprint, "operator", order.reason, now_ms, until_ms))

    def unban_key(self, tx: Transaction, _caller: Caller, order: UnbanKey, now_ms: int) -> KeyUnbanned:
        """End every ban of a key. Those of its rate do not count towards the next one's length any more."""
        _check_fingerprint(order.fingerprint)
        subject = _subject(order.fingerprint)
        lifted = tx.run(q.lift_bans, subject=subject, now=now_ms)
        tx.after(BanChanged(subject, None, "an operator has lifted the ban"))  # also one that could not be written
        if lifted:
            log(tx, "key.unbanned", fingerprint=order.fingerprint, bans=lifted)
        return KeyUnbanned(order.fingerprint, lifted)

    def restore(self, tx: Transaction, _caller: Caller, _order: RestoreBans, now_ms: int) -> None:
        """Say again who is kept out, and who no longer is: one change of each key, so that nothing is news twice."""
        longest = {row["subject"]: row for row in tx.all(q.bans_in_force, now=now_ms)}  # the last to end comes last
        for row in tx.all(q.bans_lifted, since=now_ms - LIFTED_MS):
            if row["subject"] not in longest:
                tx.after(BanChanged(row["subject"], None, "an operator has lifted the ban"))
        for row in longest.values():
            tx.after(BanChanged(row["subject"], row["until"], row["reason"]))


def system(ban_duration_s: int, penalties: Mapping[Endpoint, Penalty]) -> System:
    """Bans in the shape of a system."""
    bans = Bans(ban_duration_s, penalties)
    itself, operator = frozenset({Endpoint.SERVER}), frozenset({Endpoint.OPERATOR})
    return System(
        name="bans",
        doors=[],
        operations=[
            Operation(BanOffender, itself, bans.ban_offender),
            Operation(RestoreBans, itself, bans.restore),
            Operation(BanKey, operator, bans.ban_key),
            Operation(UnbanKey, operator, bans.unban_key),
        ],
        pushes=[],
        reports=[Report("bans", report)],
        gauges=[Gauge("vault_keys_banned", "Keys that are kept out now.", "", keys_banned)],
        tidying=[forget],
        starting=[RestoreBans()],
    )


def forget(tx: Transaction, now_ms: int) -> int:
    """Drop what ended long ago; how many."""
    return tx.run(q.forget_bans, until_before=now_ms - KEPT_MS)


def report(reader: Reader, fingerprint: str, now_ms: int) -> list[dict[str, Any]]:
    """The bans in force, the last to end first; about one fingerprint all of its bans, the newest first."""
    if fingerprint:
        _check_fingerprint(fingerprint)
        rows = reader.all(q.bans_of_subject, subject=_subject(fingerprint), count=SHOWN_MAX)
    else:
        rows = list(reversed(reader.all(q.bans_in_force, now=now_ms)))[:SHOWN_MAX]
    return [
        {
            "fingerprint": row["subject"].removeprefix("key:"),
            "cause": row["cause"],
            "reason": row["reason"],
            "created": row["created_at"],
            "until": row["until"],
            "lifted": row["lifted_at"],
        }
        for row in rows
    ]


def keys_banned(reader: Reader, now_ms: int) -> Mapping[str, float]:
    """How many keys are kept out."""
    row = reader.one(q.count_keys_banned, now=now_ms)
    assert row is not None, "an aggregate has a row"
    return {"": row["keys"]}


def _ban(tx: Transaction, fingerprint: str, cause: str, reason: str, now_ms: int, until_ms: int) -> int:
    """Write one; until when the key is now kept out by the longest of its bans."""
    subject = _subject(fingerprint)
    tx.run(q.insert_ban, subject=subject, cause=cause, reason=reason, created_at=now_ms, until=until_ms)
    longest = tx.one(q.longest_ban, subject=subject, now=now_ms)
    assert longest is not None, "it has one now"
    tx.after(BanChanged(subject, longest["until"], longest["reason"]))
    log(tx, "key.banned", fingerprint=fingerprint, cause=cause, reason=reason, until=until_ms)
    return int(longest["until"])


def _subject(fingerprint: str) -> str:
    return f"key:{fingerprint}"


def _check_fingerprint(text: str) -> None:
    if not (len(text) == FINGERPRINT_LENGTH and set(text) <= set("0123456789abcdef")):
        raise _bad(
            "fingerprint",
            f"is not {FINGERPRINT_LENGTH} lower-case hex digits",
            "Copy it from `vault-server solvers`, or from `tail --json`.",
        )


def _bad(field: str, what: str, suggestion: str) -> Refusal:
    return Refusal(Code.BAD_FIELD, f"Field '{field}' {what}.", suggestion)
