"""The master keys a database is written with: they are kept outside it and checked before it is read or written.

The database holds a check value for each version in use, and, sealed, the key of the keyed hash: that one is made once
and stays, so that a request repeated after a rotation is still recognised.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from vault_server.core.operation import Reader, Transaction
from vault_server.exchange.cipher import Cipher
from vault_server.storage.queries import load

q = load(__package__)

_HASH_KEY = "hash_key"
_HASH_KEY_OWNER = "keyed hash"


class KeyStoreError(Exception):
    """Master keys cannot be read or kept. `problem` names the place, `suggestion` the next step."""

    def __init__(self, problem: str, suggestion: str) -> None:
        super().__init__(f"{problem}; {suggestion}")
        self.problem = problem
        self.suggestion = suggestion


class KeyStore(Protocol):
    """Where master keys are kept outside the database: version -> 32 bytes. What returns is on disk."""

    def read(self) -> Mapping[int, bytes]:
        """All of them. Raises KeyStoreError, also when one that was there before is missing now."""

    def add(self, version: int, key: bytes, /) -> None:
        """Keep one more. Raises KeyStoreError; nothing has changed then."""

    def drop(self, versions: Collection[int]) -> None:
        """These are needed no more; whoever keeps keys for us is not touched. Raises KeyStoreError."""


def versions_in_use(reader: Reader) -> list[int]:
    """The versions that values in this database may be sealed with, the newest first."""
    return sorted((row["version"] for row in reader.all(q.master_keys)), reverse=True)


def agree_on_master_keys(tx: Transaction, cipher: Cipher, now_ms: int) -> None:
    """Refuse a database whose keys are not given; give a new one its first key. Raises WrongMasterKey."""
    rows = tx.all(q.master_keys)
    for row in rows:
        cipher.verify(row["version"], row["check_value"])
    if not rows:
        begin_using(tx, cipher, cipher.version, now_ms)
    if not adopt_hash_key(tx, cipher):
        keep_hash_key(tx, cipher)


def begin_using(tx: Transaction, cipher: Cipher, version: int, now_ms: int) -> None:
    """Values may be sealed with `version` once this is on disk."""
    tx.run(q.insert_master_key, version=version, check_value=cipher.check_value(version), created_at=now_ms)


def end_using(tx: Transaction, version: int) -> None:
    """No value is sealed with `version` any more."""
    tx.run(q.delete_master_key, version=version)


def keep_hash_key(tx: Transaction, cipher: Cipher) -> None:
    """Store the key of the keyed hash under the version that seals now."""
    sealed = cipher.seal(cipher.hash_key, table="meta", row=_HASH_KEY, column="value", owner=_HASH_KEY_OWNER)
    tx.run(q.set_meta, name=_HASH_KEY, value=sealed.hex())


def adopt_hash_key(reader: Reader, cipher: Cipher) -> bool:
    """Hash with the key that the database holds, for who has not agreed himself. Whether there is one yet."""
    row = reader.one(q.meta, name=_HASH_KEY)
    if row is None:
        return False
    sealed = bytes.fromhex(row["value"])
    cipher.hash_key = cipher.open(sealed, table="meta", row=_HASH_KEY, column="value", owner=_HASH_KEY_OWNER)
    return True
