"""What the hive's doors ask before there is a caller (`core.accounts.Accounts`): keys, sessions, passwords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from protocol.envelope import Message
from protocol.errors import MessageError
from protocol.hive import Register
from protocol.hive_fields import Hidden
from vault_server.core.accounts import Credentials, Held
from vault_server.core.operation import Caller, Reader, Refusal
from vault_server.systems.hive import accounts, keys, orders, repeating
from vault_server.systems.hive.logins import Logins
from vault_server.systems.hive.passwords import Passwords
from vault_server.systems.hive.records import Parts

ROLE_UNASKED = "both"


class HiveAccounts:
    """See `core.accounts.Accounts`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._passwords = Passwords()
        self._logins = Logins(parts.settings.hive_login_failures_max, parts.settings.hive_login_window_ms)

    def agent(self, reader: Reader, key: str, address: str) -> Caller:
        """Whose API key this is."""
        return keys.agent_caller(reader, key, address)

    def user(self, reader: Reader, token: str, address: str, now_ms: int) -> Caller:
        """Whose session this is."""
        return keys.user_caller(reader, token, address, now_ms)

    def hash_of(self, secret: str) -> str:
        """What is kept of an API key or a session's token."""
        return keys.hash_of(secret)

    def ended(self, reader: Reader, held: Sequence[Held], now_ms: int) -> Mapping[Held, MessageError]:
        """Those that let nobody in any more."""
        return keys.ended(reader, held, now_ms)

    def earlier_reply(self, reader: Reader, caller: Caller, order: Any, now_ms: int) -> Message | None:
        """What this order was answered before."""
        return repeating.recall(self._parts, reader, caller, order, now_ms)

    def check_attempt(self, email: str, address: str, now_ms: int) -> None:
        """Before a password is compared."""
        self._logins.check(email, address, now_ms)

    def credentials(self, reader: Reader, email: str) -> Credentials:
        """Of this e-mail address."""
        return accounts.credentials_of(reader, email)

    def hash(self, password: Hidden) -> str:
        """What is kept of a password."""
        return self._passwords.hash(password)

    def fits(self, credentials: Credentials, password: Hidden) -> bool:
        """Whether it is the password."""
        return self._passwords.fits(credentials.password_hash, password)

    def attempted(self, email: str, address: str, now_ms: int, *, has_succeeded: bool) -> None:
        """What came of it."""
        if has_succeeded:
            self._logins.succeeded(email, address)
        else:
            self._logins.failed(email, address, now_ms)

    def wrong_credentials(self) -> Refusal:
        """The same for an address that is not known and for a wrong password."""
        return accounts.wrong_credentials()

    def email_taken(self) -> Refusal:
        """Somebody is registered with this address."""
        return accounts.email_taken()

    def registration(self, wish: Register, password_hash: str) -> orders.RegisterUser:
        """The server's order that registers somebody."""
        return orders.RegisterUser(wish.email, wish.name, wish.role or ROLE_UNASKED, password_hash)

    def opening(self, user_id: int) -> orders.OpenSession:
        """The server's order for a session of this user."""
        return orders.OpenSession(user_id)

    def closing(self, token: str) -> orders.CloseSession:
        """The server's order that ends a session."""
        return orders.CloseSession(token)
