"""Passwords as argon2 hashes. A call costs tens of milliseconds and MiB: in a thread, never in a transaction."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from protocol.hive_fields import Hidden


class Passwords:
    """Hashes and compares; the library's defaults follow RFC 9106."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._nobodys = self._hasher.hash("nobody has this password")

    def hash(self, password: Hidden) -> str:
        """What is kept of a password, with its own salt."""
        return self._hasher.hash(password.reveal())

    def fits(self, password_hash: str | None, password: Hidden) -> bool:
        """Whether it is the password; for nobody's (None) it takes as long, and is not."""
        try:
            self._hasher.verify(password_hash or self._nobodys, password.reveal())
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None
