"""The guard at the door: counts what keys say, has offenders banned, and shows out who is.

From the violation on nothing of that key is taken; its connections are told and closed once the ban is on disk.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from vault_server.clock import Clock
from vault_server.core.operation import SERVER, BanChanged, Caller, Endpoint
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.exchange.admission import Admission, Allowances, Violation
from vault_server.exchange.bans import BanOffender
from vault_server.gateway.roster import Connected, Roster
from vault_server.settings import Settings

logger = structlog.get_logger()

TIDY_FROM = 1024
"""Bans in memory before ended ones are looked for."""


class _Ban(NamedTuple):
    until_ms: int
    reason: str


class Guard:
    """Who is kept out, as the rows say; where a row could not be written, memory keeps the promise."""

    def __init__(
        self, settings: Settings, clock: Clock, admission: Admission, dispatcher: Dispatcher, roster: Roster
    ) -> None:
        self._first_ban_ms = settings.ban_duration * 1000
        self._clock = clock
        self._admission = admission
        self._dispatcher = dispatcher
        self._roster = roster
        self._banned: dict[str, _Ban] = {}
        self._being_banned: dict[str, set[Connected]] = {}
        """Whose ban is not on disk yet, with the connections that spoke since: they may be in no roster."""
        self._tidy_at = TIDY_FROM

    def admit(
        self, connection: Connected, caller: Caller, message: Message | None, granted: Allowances, now_ms: int
    ) -> bool:
        """Whether to go on with a message (None: a frame that is none); False is silence, a ban is on its way.

        Raises MessageError(RATE_LIMITED), and BANNED to a connection that is to be closed. `now_ms` never goes back.
        """
        if self._being_banned and caller.subject in self._being_banned:
            self._being_banned[caller.subject].add(connection)
            return False
        if self._banned:
            self.check_hello(caller.subject)
        try:
            self._admission.admit(caller, message, granted, now_ms)
        except Violation as violation:
            self._ban(connection, caller, violation.reason)
            return False
        return True

    def check_hello(self, subject: str) -> None:
        """Raises MessageError(BANNED)."""
        ban = self._banned.get(subject)
        is_pending = subject in self._being_banned
        if ban is None and not is_pending:
            return
        now_ms = self._clock.now_ms()
        if ban is None or is_pending:
            raise _banned(_Ban(now_ms + self._first_ban_ms, "its ban is being written"), now_ms)
        if ban.until_ms > now_ms:
            raise _banned(ban, now_ms)
        del self._banned[subject]  # it has ended by itself

    def ban_changed(self, change: BanChanged) -> bool:
        """Keep a key out from now on and show it out on every endpoint; or let it come again. Whether that is news."""
        if change.until_ms is None:
            return self._banned.pop(change.subject, None) is not None
        ban = _Ban(change.until_ms, change.reason)
        if self._banned.get(change.subject) == ban and change.subject not in self._being_banned:
            return False
        self._tidy()
        self._banned[change.subject] = ban
        refusal = _banned(ban, self._clock.now_ms())
        present = {connection for at in Endpoint for connection in self._roster.find(change.subject, at)}
        for connection in present | self._being_banned.pop(change.subject, set()):
            connection.banish(refusal)
        return True

    def _ban(self, connection: Connected, caller: Caller, reason: str) -> None:
        """Have the ban written. If that fails (a full disk) it holds all the same, as long as this process lives."""
        self._being_banned[caller.subject] = {connection}
        self._admission.forget(caller.fingerprint)

        def done(_reply: object, refusal: MessageError | None) -> None:
            if refusal is not None:
                logger.error("ban.unwritten", code=refusal.code, fingerprint=caller.fingerprint)
            asyncio.get_running_loop().call_soon(self._make_sure, caller.subject, reason)

        self._dispatcher.submit(SERVER, BanOffender(caller.fingerprint, caller.endpoint, reason), done)

    def _make_sure(self, subject: str, reason: str) -> None:
        """A ban that is on disk has been carried out by now."""
        if subject in self._being_banned:
            self.ban_changed(BanChanged(subject, self._clock.now_ms() + self._first_ban_ms, reason))

    def _tidy(self) -> None:
        if len(self._banned) < self._tidy_at:
            return
        now_ms = self._clock.now_ms()
        self._banned = {subject: ban for subject, ban in self._banned.items() if ban.until_ms > now_ms}
        self._tidy_at = max(TIDY_FROM, 2 * len(self._banned))


def _banned(ban: _Ban, now_ms: int) -> MessageError:
    until = datetime.fromtimestamp(ban.until_ms / 1000, UTC)
    return MessageError(
        Code.BANNED,
        f"Your key is banned until {until:%Y-%m-%d %H:%M:%S} UTC: {ban.reason}.",
        "Connect again after that, and keep to the limits that welcome names.",
        retry_after_ms=max(1, ban.until_ms - now_ms),
    )
