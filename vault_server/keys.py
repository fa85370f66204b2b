"""The server's own key files beside the database, mode 0600: made on first start, never replaced."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from protocol.identity import BadKey, Identity
from vault_server.exchange.cipher import KEY_BYTES


class KeyFileError(Exception):
    """A key file that cannot be read, written or trusted. The message names it and the next step."""


def identity_path(database: Path) -> Path:
    """Where the server's Ed25519 key is."""
    return database.with_name(database.name + ".identity")


def master_key_path(database: Path) -> Path:
    """Where the key of what is encrypted at rest is."""
    return database.with_name(database.name + ".master-key")


def load_identity(database: Path) -> tuple[Identity, bool]:
    """The server's identity, and whether it was made now. Raises KeyFileError."""
    path = identity_path(database)
    raw = _read(path)
    if raw is None:
        identity = Identity.generate()
        _write_new(path, identity.to_pem())
        return identity, True
    try:
        return Identity.from_pem(raw), False
    except BadKey as error:
        raise KeyFileError(f"{path} is no server key: {error}; restore it from a backup") from error


def load_master_key(database: Path, from_environment: str | None) -> tuple[bytes, bool]:
    """The 32 bytes of the master key, and whether they were made now. Raises KeyFileError.

    A database that exists without its key is not given a new one: what it holds could not be read.
    """
    if from_environment is not None:
        return bytes.fromhex(from_environment), False
    path = master_key_path(database)
    raw = _read(path)
    if raw is None:
        if database.exists():
            raise KeyFileError(
                f"{database} exists but its master key {path} does not; restore the key file, or set VAULT_MASTER_KEY"
            )
        key = os.urandom(KEY_BYTES)
        _write_new(path, key.hex().encode() + b"\n")
        return key, True
    try:
        key = bytes.fromhex(raw.decode().strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyFileError(f"{path} does not hold {2 * KEY_BYTES} hex digits; restore it from a backup")
    return key, False


def _read(path: Path) -> bytes | None:
    try:
        mode = path.stat().st_mode
        if mode & 0o077:
            raise KeyFileError(f"{path} can be read by others; run: chmod 600 {path}")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}; repair it, or choose another --database") from error


def _write_new(path: Path, content: bytes) -> None:
    """Whole or not at all: a temporary file, fsync, a link that fails if somebody was faster."""
    try:
        descriptor, temporary = tempfile.mkstemp(".new", f"{path.name}.", path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        finally:
            os.unlink(temporary)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {error.strerror}; choose another --database") from error
