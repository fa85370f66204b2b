"""Ed25519 keys: who somebody is. `hotkey` is the public key in hex, `fingerprint` the short name drawn from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from protocol.errors import ProtocolError

KEY_BYTES = 32
FINGERPRINT_BYTES = 16

SMALL_ORDER = frozenset(
    bytes.fromhex(y)
    for y in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)
"""The y of the eight points whose order divides 8, as encoded, without the sign of x; the last two are not reduced."""


class BadKey(ProtocolError):
    """A key file that does not hold an unencrypted Ed25519 private key in PEM."""


def fingerprint_of(public_key: bytes) -> str:
    """The first 16 bytes of SHA-256 of a 32-byte public key, as 32 hex digits: `client_id` and `solver_id`."""
    return hashlib.sha256(public_key).digest()[:FINGERPRINT_BYTES].hex()


def verify(public_key: bytes, signature: bytes, signed: bytes) -> bool:
    """Whether `signature` (64 bytes) by `public_key` (32 bytes) holds over `signed` (RFC 8032).

    A key of small order proves nothing: signatures by it are made without a private key, and hold over many messages.
    """
    if _has_small_order(public_key):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _has_small_order(public_key: bytes) -> bool:
    return public_key[:31] + bytes(octet & 0x7F for octet in public_key[31:]) in SMALL_ORDER


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key with the names drawn from it. Its repr shows the fingerprint alone."""

    private_key: Ed25519PrivateKey
    public_key: bytes

    @classmethod
    def generate(cls) -> Identity:
        """A fresh key from the operating system's randomness."""
        return cls._of(Ed25519PrivateKey.generate())

    @classmethod
    def from_private_bytes(cls, raw: bytes) -> Identity:
        """From the 32-byte seed of RFC 8032; used by test vectors."""
        return cls._of(Ed25519PrivateKey.from_private_bytes(raw))

    @classmethod
    def from_pem(cls, pem: bytes) -> Identity:
        """Read what `to_pem` wrote. Raises BadKey."""
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise BadKey("the file holds no unencrypted private key in PEM") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise BadKey("the file holds a private key that is not Ed25519")
        return cls._of(key)

    @classmethod
    def _of(cls, key: Ed25519PrivateKey) -> Identity:
        return cls(key, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def to_pem(self) -> bytes:
        """PKCS#8 in PEM, unencrypted: what a key file (mode 0600) holds."""
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, signed: bytes) -> bytes:
        """A 64-byte signature."""
        return self.private_key.sign(signed)

    @property
    def hotkey(self) -> str:
        """The public key, 64 hex digits."""
        return self.public_key.hex()

    @property
    def fingerprint(self) -> str:
        """32 hex digits."""
        return fingerprint_of(self.public_key)

    def __repr__(self) -> str:
        return f"Identity({self.fingerprint})"
