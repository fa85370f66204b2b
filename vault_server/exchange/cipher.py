"""Encryption at rest: AES-256-GCM under a key of the owner, bound to the table, row and column it stands in.

The owner's key is HKDF(master key, owner's fingerprint): the seed says "the fingerprint as the key"; a fingerprint is
public, so it selects the key instead of being it (design §5). A sealed value is version (2 bytes), nonce (12 random
bytes), ciphertext, tag (16 bytes).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.sealing import parts
from vault_server.core.operation import Transaction
from vault_server.storage.queries import load

q = load(__package__)

KEY_BYTES = 32
NONCE_BYTES = 12
VERSION_BYTES = 2
OWNERS_CACHED = 10_000

_LABEL = b"vault at rest v1"
_CHECK_OWNER = "master key check"


class WrongMasterKey(Exception):
    """The master key is not the one this database was written with, or a stored value has been altered."""


class Cipher:
    """Seals and opens values with one master key. `random_bytes(count)` gives the nonces."""

    def __init__(self, master_key: bytes, random_bytes: Callable[[int], bytes], version: int = 1) -> None:
        assert len(master_key) == KEY_BYTES, "a master key has 32 bytes"
        self.version = version
        self._master_key = master_key
        self._random_bytes = random_bytes
        self._prefix = version.to_bytes(VERSION_BYTES, "big")
        self._hash_key = HKDF(SHA256(), KEY_BYTES, salt=None, info=parts(_LABEL, b"keyed hash")).derive(master_key)
        self._aes = lru_cache(OWNERS_CACHED)(self._derive)

    def seal(self, value: bytes, *, table: str, row: str, column: str, owner: str) -> bytes:
        """`value` as it may stand in that column of that row, readable under `owner`'s key alone."""
        nonce = self._random_bytes(NONCE_BYTES)
        return self._prefix + nonce + self._aes(owner).encrypt(nonce, value, self._place(table, row, column, owner))

    def open(self, sealed: bytes, *, table: str, row: str, column: str, owner: str) -> bytes:
        """What `seal` was given. Raises WrongMasterKey."""
        start = VERSION_BYTES + NONCE_BYTES
        place = self._place(table, row, column, owner)
        try:
            return self._aes(owner).decrypt(sealed[VERSION_BYTES:start], sealed[start:], place)
        except (InvalidTag, ValueError):
            raise WrongMasterKey(f"{table}.{column} of {row} does not open with this master key") from None

    def fingerprint(self, value: bytes) -> bytes:
        """A keyed hash, 32 bytes: equal for equal values, and of no use to who only has the file."""
        mac = HMAC(self._hash_key, SHA256())
        mac.update(value)
        return mac.finalize()

    def check_value(self) -> bytes:
        """A known text under this key, to be stored once."""
        return self.seal(_LABEL, table="master_keys", row=str(self.version), column="check_value", owner=_CHECK_OWNER)

    def verify(self, check_value: bytes) -> None:
        """Raises WrongMasterKey when `check_value` was made with another key."""
        self.open(check_value, table="master_keys", row=str(self.version), column="check_value", owner=_CHECK_OWNER)

    def _derive(self, owner: str) -> AESGCM:
        info = parts(_LABEL, owner.encode())
        return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(self._master_key))

    def _place(self, table: str, row: str, column: str, owner: str) -> bytes:
        # Names of columns, ids and fingerprints hold no NUL, so no two places share these bytes.
        return f"{table}\0{column}\0{row}\0{owner}\0{self.version}".encode()


def agree_on_master_key(tx: Transaction, cipher: Cipher, now_ms: int) -> None:
    """Store the check value of a new database; refuse another key for an old one. Raises WrongMasterKey."""
    for row in tx.all(q.master_keys):
        if row["version"] == cipher.version:
            cipher.verify(row["check_value"])
            return
    tx.run(q.insert_master_key, version=cipher.version, check_value=cipher.check_value(), created_at=now_ms)
