"""Writes files whole or not at all: temporary file, fsync, then a rename that clobbers nothing unasked."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vault_client.errors import FileError

PRIVATE = 0o600
"""For keys, tickets and resume files."""
ORDINARY = 0o666
"""For everything else; the umask takes away what it always does."""

_REASONS = {
    errno.ENOSPC: ("there is no space left on its disk", "Free some space"),
    errno.EDQUOT: ("your disk quota is used up", "Free some space"),
    errno.EFBIG: ("it would be larger than this process may write", "Raise the limit (ulimit -f)"),
    errno.EACCES: ("permission is denied", "Change the permissions or name another path"),
    errno.EPERM: ("permission is denied", "Change the permissions or name another path"),
    errno.EROFS: ("its file system is read-only", "Name another path"),
    errno.ENOENT: ("there is no such file or folder", "Check the path"),
    errno.ENOTDIR: ("a part of its path is no folder", "Check the path"),
    errno.EISDIR: ("it is a folder", "Name a file"),
    errno.ENAMETOOLONG: ("its name is too long", "Name a shorter path"),
}


def file_error(action: str, path: Path, error: OSError) -> FileError:
    """What the operating system said, in words: `action` is "read" or "write"."""
    reason, remedy = _REASONS.get(error.errno or 0, (error.strerror or "the system refused", "Check the path"))
    return FileError(f"Cannot {action} {path}: {reason}.", f"{remedy} and run the command again.")


def refuse_existing(path: Path, *, force: bool) -> None:
    """Refuse to overwrite what is there, or what could not be replaced. Raises FileError."""
    # os.path, since pathlib raises for what it may not look at; opening it then says why.
    if os.path.exists(path) and not os.path.isfile(path):
        raise FileError(f"{path} is no ordinary file.", "Name a file to write.")
    if not force and os.path.lexists(path):
        raise _exists(path)


@contextmanager
def whole_file(path: Path, *, mode: int = ORDINARY, force: bool = False) -> Iterator[BinaryIO]:
    """A file to write that appears at `path` only when the block ends well; otherwise nothing is left behind.

    `force` replaces an existing file in one step. The block translates errors of what it reads itself; any OSError
    that leaves it is taken as one of writing. Raises FileError.
    """
    refuse_existing(path, force=force)
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _place(temporary, path, force=force)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise file_error("write", path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_can_write(path: Path) -> None:
    """Try the folder of a file that will be written after a long wait. Raises FileError."""
    probe = path.with_name(f".{secrets.token_hex(8)}.probe")
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
        probe.unlink()
    except OSError as error:
        raise file_error("write", path, error) from None


def write_whole(path: Path, data: bytes, *, mode: int = ORDINARY, force: bool = False) -> None:
    """Write a small file as `whole_file` does. Raises FileError."""
    with whole_file(path, mode=mode, force=force) as file:
        file.write(data)


def read_small(path: Path, *, bytes_max: int, private: bool = False) -> bytes:
    """Read a file that has no business being large; a `private` one only when it is ours alone. Raises FileError."""
    try:
        with path.open("rb") as file:
            if private:
                _check_private(path, os.fstat(file.fileno()))
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise file_error("read", path, error) from None
    if len(data) > bytes_max:
        raise FileError(f"{path} has more than {bytes_max} bytes.", "Check that it is the file you mean.")
    return data


def _check_private(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise FileError(f"{path} belongs to another user.", f"Make a copy of your own, with chmod 600 {path.name}.")
    if found.st_mode & 0o077:
        raise FileError(f"Others may read or write {path}.", f"Keep it to yourself: chmod 600 {path.name}.")


def remove(path: Path) -> None:
    """Remove a file that may be gone already. Raises FileError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise file_error("remove", path, error) from None


def _exists(path: Path) -> FileError:
    return FileError(f"{path} exists already.", "Name another file, or overwrite it with --force.")


def _place(temporary: Path, path: Path, *, force: bool) -> None:
    if force:
        temporary.replace(path)
    else:
        _link(temporary, path)
    with suppress(OSError):  # the file is whole by now; some folders cannot be opened or synced
        _sync_folder(path.parent)


def _link(temporary: Path, path: Path) -> None:
    # A hard link fails when the name is taken, a rename does not; some file systems have no hard links.
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        refuse_existing(path, force=False)
        temporary.rename(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
