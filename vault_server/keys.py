"""The server's own key files beside the database, mode 0600: made on first start, closed to others.

The master key's file holds one line `VERSION:64 hex digits` for each version that something is still sealed with; the
highest seals. A line of 64 hex digits alone is version 1.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from protocol.identity import BadKey, Identity
from vault_server.exchange.cipher import KEY_BYTES, VERSION_MAX
from vault_server.exchange.master_keys import KeyStore, KeyStoreError

_LINE = re.compile(rf"(?:([1-9][0-9]{{0,4}}):)?([0-9a-fA-F]{{{2 * KEY_BYTES}}})")
COPY_IT = "the database has been served from before: copy the file from the machine that did, with mode 0600"

_HEADING = "# version:key of what is encrypted at rest; the highest version seals, the others are needed to read\n"


class KeyFileError(KeyStoreError):
    """A key file that cannot be read, written or trusted. The message names it and the next step."""


def identity_path(database: Path) -> Path:
    """Where the server's Ed25519 key is."""
    return database.with_name(database.name + ".identity")


def master_key_path(database: Path) -> Path:
    """Where the key of what is encrypted at rest is."""
    return database.with_name(database.name + ".master-key")


def load_identity(database: Path, *, is_used: bool | None = None) -> tuple[Identity, bool]:
    """The server's identity, and whether it was made now. Raises KeyFileError.

    A database that exists without it is not given a new one: every peer has pinned the old. `is_used` says whether it
    exists where `database` only names the files beside it.
    """
    path = identity_path(database)
    raw = _read(path)
    if raw is None and is_used:
        raise KeyFileError(f"the server's identity {path} is missing", COPY_IT)
    if raw is None and is_used is None and database.exists():
        raise KeyFileError(
            f"{database} exists but the server's identity {path} does not",
            "restore it from a backup; peers have pinned it. To begin with a new one, move the database away",
        )
    if raw is None:
        identity = Identity.generate()
        write_new(path, identity.to_pem())
        return identity, True
    try:
        return Identity.from_pem(raw), False
    except BadKey as error:
        raise KeyFileError(f"{path} is no server key: {error}", "restore it from a backup") from error


def load_master_keys(
    database: Path, from_environment: str | None, *, is_used: bool | None = None
) -> tuple[KeyStore, bool]:
    """The master keys, and whether the first was made now. Raises KeyFileError.

    A database that exists without its key is not given a new one: what it holds could not be read.
    """
    if from_environment is not None:
        return GivenKeys(from_environment), False
    path = master_key_path(database)
    raw = _read(path)
    if raw is not None:
        return MasterKeyFile(path), False
    if is_used:
        raise KeyFileError(f"the master key {path} is missing", f"{COPY_IT}, or set VAULT_MASTER_KEY")
    if is_used is None and database.exists():
        raise KeyFileError(
            f"{database} exists but its master key {path} does not", "restore the key file, or set VAULT_MASTER_KEY"
        )
    write_new(path, os.urandom(KEY_BYTES).hex().encode() + b"\n")
    return MasterKeyFile(path), True


class MasterKeyFile:
    """Master keys in the file beside the database; the server adds and drops versions itself."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[int, bytes] = {}
        self._known = self._read()

    def read(self) -> Mapping[int, bytes]:
        """All of them. Raises KeyFileError, also when the file no longer holds what it held."""
        return dict(self._read())

    def add(self, version: int, key: bytes) -> None:
        """Keep one more. Raises KeyFileError."""
        self._write({**self._read(), version: key})

    def drop(self, versions: Collection[int]) -> None:
        """Keep these no longer. Raises KeyFileError."""
        keys = self._read()
        left = {version: key for version, key in keys.items() if version not in versions}
        assert left, "the newest key is never dropped"
        if left != keys:
            self._write(left)

    def _read(self) -> dict[int, bytes]:
        raw = _read(self._path)
        keys = None if raw is None else _parse(_lines(raw))
        if not keys:
            raise KeyFileError(
                f"{self._path} does not hold master keys, each of {2 * KEY_BYTES} hex digits",
                "restore it from a backup",
            )
        if any(keys.get(version) != key for version, key in self._known.items()):
            raise KeyFileError(f"{self._path} has lost a key that it held", "restore it from a backup")
        return keys

    def _write(self, keys: Mapping[int, bytes]) -> None:
        _replace(self._path, (_HEADING + _format(keys)).encode())
        self._known = dict(keys)


class GivenKeys:
    """Master keys from VAULT_MASTER_KEY: one of 64 hex digits, or `VERSION:KEY,VERSION:KEY`. Others keep them."""

    def __init__(self, text: str) -> None:
        keys = _parse(text.split(","))
        if not keys:
            raise KeyFileError(
                "VAULT_MASTER_KEY does not hold master keys",
                f"give {2 * KEY_BYTES} hex digits, or VERSION:DIGITS,VERSION:DIGITS with each version"
                f" (1 to {VERSION_MAX}) once",
            )
        self._keys = keys

    def read(self) -> Mapping[int, bytes]:
        """All of them."""
        return dict(self._keys)

    def add(self, _version: int, _key: bytes) -> None:
        """Raises KeyFileError: the environment is not the server's."""
        newest = max(self._keys)
        raise KeyFileError(
            "the master key comes from VAULT_MASTER_KEY, which the server cannot change",
            f"make a key (openssl rand -hex {KEY_BYTES}) and start the server with"
            f" VAULT_MASTER_KEY={newest + 1}:<new key>,{newest}:<key of now>; the log says master_key.retired when the"
            " latter may be left out",
        )

    def drop(self, versions: Collection[int]) -> None:
        """Whoever gives the keys may leave these out from now on."""


def _lines(raw: bytes) -> list[str]:
    lines = (line.strip() for line in raw.decode(errors="replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _parse(entries: Iterable[str]) -> dict[int, bytes] | None:
    """Keys by version; None when an entry is no key or a version comes twice."""
    keys: dict[int, bytes] = {}
    for entry in entries:
        match = _LINE.fullmatch(entry)
        version = int(match[1] or 1) if match else 0
        if match is None or version > VERSION_MAX or version in keys:
            return None
        keys[version] = bytes.fromhex(match[2])
    return keys


def _format(keys: Mapping[int, bytes]) -> str:
    return "".join(f"{version}:{keys[version].hex()}\n" for version in sorted(keys, reverse=True))


def _read(path: Path) -> bytes | None:
    try:
        mode = path.stat().st_mode
        if mode & 0o077:
            raise KeyFileError(f"{path} can be read by others", f"run: chmod 600 {path}")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError(
            f"cannot read {path}: {error.strerror}", "repair it, or choose another --database"
        ) from error


def write_new(path: Path, content: bytes) -> None:
    """Whole or not at all: a temporary file, fsync, a link that fails if somebody was faster. Raises KeyFileError."""
    try:
        descriptor, temporary = tempfile.mkstemp(".new", f"{path.name}.", path.parent)  # mode 0600
        try:
            _fill(descriptor, content)
            os.link(temporary, path)
        finally:
            os.unlink(temporary)
        _sync_folder(path.parent)
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {error.strerror}", "choose another --database") from error


def _replace(path: Path, content: bytes) -> None:
    """Whole or not at all, in place of what is there. What a killed server left half made is overwritten."""
    path = path.resolve()  # a link stays a link
    temporary = path.with_name(path.name + ".next")
    try:
        temporary.unlink(missing_ok=True)
        try:
            _fill(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise KeyFileError(
            f"cannot write {path}: {error.strerror}", "make room, or let the server write in its folder"
        ) from error


def _fill(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
