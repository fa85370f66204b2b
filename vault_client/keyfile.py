"""The client's own key on disk, mode 0600. It is never shown, and never replaced unasked."""

from __future__ import annotations

import os
from pathlib import Path

from protocol.identity import BadKey, Identity
from vault_client.errors import FileError
from vault_client.files import PRIVATE, file_error, read_small, write_whole

KEY_FILE_BYTES_MAX = 4_096


def config_folder() -> Path:
    """$XDG_CONFIG_HOME/vault, else ~/.config/vault (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".config") / "vault"


def default_key_path() -> Path:
    """Where the command line keeps its key."""
    return config_folder() / "client.key"


def default_known_servers_path() -> Path:
    """Where the command line keeps the servers it has seen."""
    return config_folder() / "known-servers"


def refuse_folder(path: Path) -> None:
    """Say what is meant where a folder is named for a key. Raises FileError."""
    if os.path.isdir(path):
        raise FileError(
            f"{path} is a folder, and a key is a file.", f"Name the file: --key {path / default_key_path().name}"
        )


def read_key(path: Path) -> Identity:
    """Read a key file. Raises FileError."""
    try:
        return Identity.from_pem(read_small(path, bytes_max=KEY_FILE_BYTES_MAX))
    except BadKey as error:
        raise FileError(f"Cannot use {path}: {error}.", "Name another key, or make one with `keygen`.") from None


def make_key(path: Path, *, force: bool = False) -> Identity:
    """Make a key and its file, mode 0600, with the folders above it (0700). Raises FileError."""
    identity = Identity.generate()
    make_folder(path)
    write_whole(path, identity.to_pem(), mode=PRIVATE, force=force)
    return identity


def load_or_make_key(path: Path) -> Identity:
    """The key of this file, which is made first when it is not there. Raises FileError."""
    return read_key(path) if os.path.exists(path) else make_key(path)


def make_folder(path: Path) -> None:
    """Make the folders above a file, 0700. Raises FileError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise file_error("write", path, error) from None
