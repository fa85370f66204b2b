"""Passwords as argon2 hashes. A call costs tens of milliseconds and MiB: in a thread, never in a transaction."""

from __future__ import annotations

import secrets
from base64 import b64encode

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION

from protocol.hive_fields import Hidden


class Passwords:
    """Hashes and compares; the library's defaults follow RFC 9106."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._nobodys = hash_of_nothing(self._hasher)

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


def hash_of_nothing(hasher: PasswordHasher) -> str:
    """A hash that no password is known for, at the price of no hashing: comparing with it costs what any other does.

    Every server needs one when it starts, and most never compare a password.
    """
    salt, digest = (
        b64encode(secrets.token_bytes(length)).rstrip(b"=").decode() for length in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={ARGON2_VERSION}${costs}${salt}${digest}"
