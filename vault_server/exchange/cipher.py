"""Encryption at rest: AES-256-GCM under a key of the owner, bound to the table, row and column it stands in.

The owner's key is HKDF(master key, owner's fingerprint): the seed says "the fingerprint as the key"; a fingerprint is
public, so it selects the key instead of being it (design §5). A sealed value is version (2 bytes), nonce (12 random
bytes), ciphertext, tag (16 bytes); the version says which of the master keys it was sealed with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.sealing import parts

KEY_BYTES = 32
NONCE_BYTES = 12
VERSION_BYTES = 2
VERSION_MAX = 2 ** (8 * VERSION_BYTES) - 1
OWNERS_CACHED = 10_000

_LABEL = b"vault at rest v1"
_CHECK_OWNER = "master key check"


class WrongMasterKey(Exception):
    """The master key is not the one this was written with, or a stored value has been altered."""


class _Key:
    """One version of the master key, and the keys of owners that were drawn from it."""

    __slots__ = ("_master_key", "_suffix", "aes", "prefix", "version")

    def __init__(self, version: int, master_key: bytes) -> None:
        self.version = version
        self.prefix = version.to_bytes(VERSION_BYTES, "big")
        self._suffix = f"\0{version}"
        self._master_key = master_key
        self.aes = lru_cache(OWNERS_CACHED)(self._derive)

    def is_made_of(self, master_key: bytes) -> bool:
        return self._master_key == master_key

    def place(self, table: str, row: str, column: str, owner: str) -> bytes:
        # Names of columns, ids and fingerprints hold no NUL, so no two places share these bytes.
        return f"{table}\0{column}\0{row}\0{owner}{self._suffix}".encode()

    def _derive(self, owner: str) -> AESGCM:
        info = parts(_LABEL, owner.encode())
        return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(self._master_key))


class Cipher:
    """Seals with one version of the master key, opens with every version it was given.

    `random_bytes(count)` gives nonces, and a key for `fingerprint` until the database's own is put in its place. Many
    threads use one cipher: what changes while serving (`add`, `activate`) changes by one assignment. A version is
    never taken away: a thread may hold a value that it read before the last one was sealed anew.
    """

    def __init__(self, master_key: bytes, random_bytes: Callable[[int], bytes], version: int = 1) -> None:
        self.hash_key = random_bytes(KEY_BYTES)
        self._random_bytes = random_bytes
        self._keys: dict[bytes, _Key] = {}
        self.add(version, master_key)
        self.activate(version)

    @classmethod
    def of(cls, master_keys: Mapping[int, bytes], random_bytes: Callable[[int], bytes]) -> Cipher:
        """Opens with all of `master_keys`, seals with the newest."""
        newest = max(master_keys)
        cipher = cls(master_keys[newest], random_bytes, newest)
        for version, master_key in master_keys.items():
            cipher.add(version, master_key)
        return cipher

    @property
    def version(self) -> int:
        """The version that seals now."""
        return self._active.version

    @property
    def versions(self) -> list[int]:
        """All versions that can be opened, the newest first."""
        return sorted((key.version for key in self._keys.values()), reverse=True)

    def add(self, version: int, master_key: bytes) -> None:
        """From now on values of `version` open. The same version may be added again, with the same key."""
        assert len(master_key) == KEY_BYTES, "a master key has 32 bytes"
        assert 1 <= version <= VERSION_MAX, f"version {version} of a master key does not fit"
        key = _Key(version, master_key)
        known = self._keys.get(key.prefix)
        assert known is None or known.is_made_of(master_key), f"version {version} is another master key already"
        if known is None:
            self._keys = {**self._keys, key.prefix: key}

    def activate(self, version: int) -> None:
        """From now on `version` seals; it has to be kept safely by then."""
        self._active = self._keys[version.to_bytes(VERSION_BYTES, "big")]

    def seal(self, value: bytes, *, table: str, row: str, column: str, owner: str) -> bytes:
        """`value` as it may stand in that column of that row, readable under `owner`'s key alone.

        Seal in the transaction that stores it: a rotation counts on finding what an old key has sealed.
        """
        return self._seal(self._active, value, table, row, column, owner)

    def open(self, sealed: bytes, *, table: str, row: str, column: str, owner: str) -> bytes:
        """What `seal` was given. Raises WrongMasterKey."""
        start = VERSION_BYTES + NONCE_BYTES
        try:
            key = self._keys[sealed[:VERSION_BYTES]]
            return key.aes(owner).decrypt(
                sealed[VERSION_BYTES:start], sealed[start:], key.place(table, row, column, owner)
            )
        except KeyError:
            version = f"version {version_of(sealed)} of the master key, which is not given"
            raise WrongMasterKey(f"{table}.{column} of {row} is sealed with {version}") from None
        except (InvalidTag, ValueError):
            raise WrongMasterKey(f"{table}.{column} of {row} does not open with this master key") from None

    def fingerprint(self, value: bytes) -> bytes:
        """A keyed hash, 32 bytes: equal for equal values, and of no use to who only has the file."""
        mac = HMAC(self.hash_key, SHA256())
        mac.update(value)
        return mac.finalize()

    def check_value(self, version: int) -> bytes:
        """A known text under that version's key, to be stored once."""
        key = self._keys[version.to_bytes(VERSION_BYTES, "big")]
        return self._seal(key, _LABEL, "master_keys", str(version), "check_value", _CHECK_OWNER)

    def verify(self, version: int, check_value: bytes) -> None:
        """Raises WrongMasterKey when `check_value` was made with another key, or a version that is not given."""
        if version not in self.versions:
            given = ", ".join(map(str, self.versions))
            raise WrongMasterKey(f"version {version} of the master key is not among those given ({given})")
        self.open(check_value, table="master_keys", row=str(version), column="check_value", owner=_CHECK_OWNER)

    def _seal(self, key: _Key, value: bytes, table: str, row: str, column: str, owner: str) -> bytes:
        nonce = self._random_bytes(NONCE_BYTES)
        return key.prefix + nonce + key.aes(owner).encrypt(nonce, value, key.place(table, row, column, owner))


def version_of(sealed: bytes) -> int:
    """Which version of the master key a value says that it was sealed with."""
    return int.from_bytes(sealed[:VERSION_BYTES], "big")
