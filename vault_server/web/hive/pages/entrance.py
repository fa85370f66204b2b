"""Coming and going: passwords are compared, sessions opened and closed. What a password is never leaves here."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field

from protocol.hive import LogIn, Register
from vault_server.web.hive.desk import Desk


@dataclass(frozen=True, slots=True)
class Session:
    """What its owner's cookie holds, and for how long."""

    token: str = field(repr=False)
    seconds: int


class Entrance:
    """One password at a time: each costs tens of milliseconds and MiB, and failures are counted before the next."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._comparing = asyncio.Lock()

    async def log_in(self, wish: LogIn, place: str) -> Session:
        """Raises MessageError(UNAUTHORIZED, RATE_LIMITED)."""
        accounts = self._desk.accounts
        async with self._comparing:
            accounts.check_attempt(wish.email, place, _monotonic_ms())
            known = await self._desk.look(lambda reader: accounts.credentials(reader, wish.email))
            has_succeeded = await asyncio.to_thread(accounts.fits, known, wish.password)
            accounts.attempted(wish.email, place, _monotonic_ms(), has_succeeded=has_succeeded)
        if not has_succeeded or known.user_id is None:
            raise accounts.wrong_credentials()
        return await self._open(known.user_id)

    async def register(self, wish: Register) -> Session:
        """A new account, and its first session. Raises MessageError(EMAIL_TAKEN, …)."""
        accounts = self._desk.accounts
        async with self._comparing:
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
