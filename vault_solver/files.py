"""Small files that are either whole or not there: temporary file, fsync, rename, under a lock on the folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vault_solver.errors import BadFile

FILE_BYTES_MAX = 2**20
"""What a key or a known-servers file never reaches."""


def config_folder() -> Path:
    """$XDG_CONFIG_HOME/vault, else ~/.config/vault (XDG Base Directory Specification). Raises BadFile."""
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if base.is_absolute():
        return base / "vault"
    try:
        return Path.home() / ".config" / "vault"
    except RuntimeError:
        raise BadFile(
            "There is no home folder for the key.", "Name the files with --key and --known-servers."
        ) from None


def read_small(path: Path) -> bytes | None:
    """The bytes of a file, None when it is not there. Raises BadFile."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed("read", path, error) from None
    if len(data) > FILE_BYTES_MAX:
        raise BadFile(f"{path} has more than {FILE_BYTES_MAX} bytes.", "Check that it is the file you mean.")
    return data


@contextlib.contextmanager
def folder_locked(path: Path) -> Iterator[None]:
    """Make the folders above a file (0700) and keep other solvers from writing there meanwhile. Raises BadFile."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _failed("write", path, error) from None
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks; rename is enough there
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Put a file of mode 0600 in place in one step; on failure what was there stays. Raises BadFile.

    A path that is a symbolic link keeps being one: what it points at is replaced. What is not `durable` may be lost
    with the power.
    """
    target = Path(os.path.realpath(path))
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent)
        with os.fdopen(descriptor, "wb") as file:  # mkstemp gives mode 0600
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, target)
        if durable:
            sync_folder(target.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise _failed("write", path, error) from None


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk when it returns. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says when there is no room."""


def _failed(action: str, path: Path, error: OSError) -> BadFile:
    reason = (error.strerror or "the system refused").lower()
    remedy = "Free some space" if error.errno in FULL else "Check the path and its permissions, or name another path"
    return BadFile(f"Cannot {action} {path}: {reason}.", f"{remedy}, and start again.")
