"""What the doors of a system without keys ask of it before there is a caller: who sends these credentials.

The doors (gateway, web) never import a system; `app.py` hands them what keeps this contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from protocol.envelope import Message
from protocol.errors import MessageError
from protocol.hive import Register
from protocol.hive_fields import Hidden
from vault_server.core.operation import Caller, Reader

VISITOR_ACCOUNT = "visitor"
"""The account of a Caller that has shown no credentials. Only the pages let such a one in; what he may ask, the system
says. REST and the socket demand credentials of everybody."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login is compared with; no hash: nobody can log in."""

    user_id: int | None
    password_hash: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """What somebody who stays has come in with: his account, and the hash of his API key or session."""

    account: str
    secret_hash: str


class Accounts(Protocol):
    """API keys, sessions and passwords. What hashes or compares a password costs tens of milliseconds: in a thread."""

    def agent(self, reader: Reader, key: str, address: str) -> Caller:
        """Whose API key this is. Raises Refusal(UNAUTHORIZED, FORBIDDEN)."""

    def user(self, reader: Reader, token: str, address: str, now_ms: int) -> Caller:
        """Whose session this is. Raises Refusal(UNAUTHORIZED)."""

    def hash_of(self, secret: str) -> str:
        """What is kept of an API key or a session's token, and held of whoever stays."""

    def ended(self, reader: Reader, held: Sequence[Held], now_ms: int) -> Mapping[Held, MessageError]:
        """Those of them that let nobody in any more, and what he is to be told (UNAUTHORIZED, FORBIDDEN)."""

    def earlier_reply(self, reader: Reader, caller: Caller, order: Any, now_ms: int) -> Message | None:
        """What this order, which has an idempotency key, was answered before. Raises Refusal(IDEMPOTENCY_KEY_MISMATCH).

        A door may ask, to say that a reply is a repetition; the operation asks again, in its transaction.
        """

    def check_attempt(self, email: str, address: str, now_ms: int) -> None:
        """Before a password is compared. Raises Refusal(RATE_LIMITED)."""

    def credentials(self, reader: Reader, email: str) -> Credentials:
        """Of this e-mail address. Somebody unknown looks like somebody who cannot log in."""

    def hash(self, password: Hidden) -> str:
        """What is kept of a password. In a thread."""

    def fits(self, credentials: Credentials, password: Hidden) -> bool:
        """Whether it is the password; for somebody who cannot log in it takes as long, and is not. In a thread."""

    def attempted(self, email: str, address: str, now_ms: int, *, has_succeeded: bool) -> None:
        """What came of it; failures are counted."""

    def wrong_credentials(self) -> Exception:
        """The same refusal for an address that is not known and for a wrong password."""

    def email_taken(self) -> Exception:
        """What registering is refused with for an address that somebody has: known before anything is hashed."""

    def registration(self, wish: Register, password_hash: str) -> Any:
        """The server's order that registers somebody; its reply is an AccountShown."""

    def opening(self, user_id: int) -> Any:
        """The server's order for a session of this user; its reply has a `token` and `expires_at` (ms)."""

    def closing(self, token: str) -> Any:
        """The server's order that ends a session."""
