"""An agent's API key: from a file that nobody else can read, or from the environment. Never shown, never logged."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from protocol.hive import KEY_PREFIX
from protocol.hive_fields import Hidden
from vault_client.errors import FileError, VaultClientError
from vault_client.files import file_error

KEY_VARIABLE = "VAULT_HIVE_KEY"
KEY_FILE_VARIABLE = "VAULT_HIVE_KEY_FILE"
KEY_FILE_BYTES_MAX = 1_024
WHERE = f"Write it to a file (chmod 600) and name that with --key-file, or set {KEY_VARIABLE}."

_KEY = re.compile(KEY_PREFIX + "[0-9a-f]{64}")


class NoKey(VaultClientError):
    """There is no API key, or what is there is none. What it is instead is not repeated."""


def key_of(text: str) -> Hidden:
    """An API key as somebody wrote it down. Raises NoKey."""
    key = text.strip()
    if not _KEY.fullmatch(key):
        raise NoKey(
            f"This is no API key: one is {KEY_PREFIX} and 64 hex digits in lower case.",
            "The agent's operator is shown the key once, when the agent is registered or its key is rotated.",
        )
    return Hidden(key)


def read_key_file(path: Path) -> Hidden:
    """The key in a file, which nobody but its owner may be able to read. Raises FileError, NoKey."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISREG(mode) and mode & 0o077:
                raise FileError(f"Others can read or change {path}, and so use this key.", f"Run: chmod 600 {path}")
            held = file.read(KEY_FILE_BYTES_MAX)
    except OSError as error:
        raise file_error("read", path, error) from None
    try:
        return key_of(held.decode("ascii", errors="replace"))
    except NoKey as error:
        raise NoKey(f"{path} holds no API key: one is {KEY_PREFIX} and 64 hex digits.", error.suggestion) from None


def find_key(path: Path | None) -> Hidden:
    """The key of this file; without one, of the environment. Raises FileError, NoKey."""
    if path is not None:
        return read_key_file(path)
    held = os.environ.get(KEY_VARIABLE)
    if held is None:
        raise NoKey("There is no API key.", WHERE)
    try:
        return key_of(held)
    except NoKey as error:
        raise NoKey(
            f"{KEY_VARIABLE} holds no API key: one is {KEY_PREFIX} and 64 hex digits.", error.suggestion
        ) from None
