"""Coming and going: passwords are compared, sessions opened and closed. What a password is never leaves here.

Nothing is hashed for whoever comes too often, is locked out, or registers with an address that is taken.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field

from protocol.errors import Code, MessageError
from protocol.hive import LogIn, Register
from vault_server.exchange.quota import Quota
from vault_server.web.hive.desk import Desk
from vault_server.web.hive.pages.password_queue import HasLeft, PasswordQueue


@dataclass(frozen=True, slots=True)
class Session:
    """What its owner's cookie holds, and for how long."""

    token: str = field(repr=False)
    seconds: int


class Entrance:
    """One password at a time, so that failures are counted before the next; `place` is where somebody comes from."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._queue = PasswordQueue()
        self._quota = Quota(desk.settings.hive_entrances_max, desk.settings.hive_requests_window_ms)

    def check_place(self, place: str) -> None:
        """Count somebody who wants to come in, whoever he is. Raises MessageError(RATE_LIMITED)."""
        spent = self._quota.spend(place, _monotonic_ms())
        if spent.wait_ms:
            raise MessageError(
                Code.RATE_LIMITED,
                f"Your address has sent {spent.limit} logins and registrations within {self._quota.span_ms // 1000} s.",
                f"Wait {-(-spent.wait_ms // 1000)} s before the next one.",
                retry_after_ms=spent.wait_ms,
            )

    async def log_in(self, wish: LogIn, place: str, has_left: HasLeft) -> Session:
        """Raises MessageError(UNAUTHORIZED, RATE_LIMITED, UNAVAILABLE)."""
        accounts = self._desk.accounts
        accounts.check_attempt(wish.email, place, _monotonic_ms())  # whoever is locked out stands in nobody's way
        async with self._queue.turn(place, has_left):
            accounts.check_attempt(wish.email, place, _monotonic_ms())
            known = await self._desk.look(lambda reader: accounts.credentials(reader, wish.email))
            has_succeeded = await asyncio.to_thread(accounts.fits, known, wish.password)
            accounts.attempted(wish.email, place, _monotonic_ms(), has_succeeded=has_succeeded)
        if not has_succeeded or known.user_id is None:
            raise accounts.wrong_credentials()
        return await self._open(known.user_id)

    async def register(self, wish: Register, place: str, has_left: HasLeft) -> Session:
        """A new account, and its first session. Raises MessageError(EMAIL_TAKEN, UNAVAILABLE, …)."""
        accounts = self._desk.accounts
        known = await self._desk.look(lambda reader: accounts.credentials(reader, wish.email))
        if known.user_id is not None:
            raise accounts.email_taken()
        async with self._queue.turn(place, has_left):
            password_hash = await asyncio.to_thread(accounts.hash, wish.password)
        registered = await self._desk.order(accounts.registration(wish, password_hash))
        return await self._open(registered.account.id)

    async def leave(self, token: str) -> None:
        """The session has ended at once."""
        if token:
            await self._desk.order(self._desk.accounts.closing(token))

    async def _open(self, user_id: int) -> Session:
        opened = await self._desk.order(self._desk.accounts.opening(user_id))
        return Session(opened.token, math.ceil((opened.expires_at - self._desk.clock.now_ms()) / 1000))


def _monotonic_ms() -> int:
    """Windows of failures stand on a clock that never goes back."""
    return int(time.monotonic() * 1000)
