"""The folder of checkpoints: two for each assignment, mode 0600, whole or not there. Knows nothing of what is going on.

Files of an assignment: `NAME.checkpoint`, the newest; `NAME.previous`, the one before; `NAME.new`, between being
written and taking its place; `NAME.refused`, what could not be gone on from. `NAME.answered` belongs to
`vault_solver.archive` and counts in here. Not safe for two threads at once.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vault_solver import checkpoint
from vault_solver.checkpoint import BadCheckpoint, Bound
from vault_solver.errors import BadFile
from vault_solver.files import FULL, sync_folder, write_whole
from vault_solver.state import State

UNTOUCHED_DAYS_MAX = 30
"""A file that nobody has written to for so long belongs to no assignment any more."""

_NEWEST, _PREVIOUS, _NEW, _REFUSED = ".checkpoint", ".previous", ".new", ".refused"
ANSWERED, _PART = ".answered", ".part"


class Unwritable(Exception):
    """A checkpoint could not be written; the text says why."""

    def __init__(self, reason: str, suggestion: str) -> None:
        super().__init__(reason)
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Found:
    """What there was to go on from, and the files that were refused, each with the reason."""

    state: State | None
    refused: list[tuple[str, str]] = field(default_factory=list)


class Store:
    """All files together never have more than `bytes_max` bytes, the one that is being written included."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self.folder = folder
        self.bytes_max = bytes_max
        self._live: set[str] = set()

    def open(self) -> None:
        """Make the folder (0700), and clear away what was left half written or long ago. Raises Unwritable."""
        with explained(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            oldest = time.time() - UNTOUCHED_DAYS_MAX * 86_400
            for path, status in self.files():
                if path.suffix == _PART or status.st_mtime < oldest:
                    path.unlink(missing_ok=True)
            if not os.access(self.folder, os.W_OK | os.X_OK):
                raise PermissionError(13, "permission denied")

    def bytes(self) -> int:
        """How much all files have together."""
        try:
            return sum(status.st_size for _, status in self.files())
        except OSError:
            return 0

    def save(self, bound: Bound, state: State) -> None:
        """Put the newest in place; what was there becomes the previous one. Raises Unwritable."""
        self._live.add(bound.name)
        data = checkpoint.write(bound, state)
        newest, previous, new = (self.folder / (bound.name + end) for end in (_NEWEST, _PREVIOUS, _NEW))
        with explained(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.make_room(len(data))
            write_whole(new, data)
            with contextlib.suppress(FileNotFoundError):
                os.replace(newest, previous)
            os.replace(new, newest)
            sync_folder(self.folder)

    def load(self, bound: Bound) -> Found:
        """The newest state. What is refused is set aside, so that nothing good makes way for it."""
        self._live.add(bound.name)
        refused: list[tuple[str, str]] = []
        for end in (_NEW, _NEWEST, _PREVIOUS):
            path = self.folder / (bound.name + end)
            try:
                return Found(checkpoint.read(bound, path.read_bytes()), refused)
            except FileNotFoundError:
                continue
            except (BadCheckpoint, OSError) as error:
                reason = str(error) if isinstance(error, BadCheckpoint) else (error.strerror or "it cannot be read")
                refused.append((path.name, reason.lower()))
                with contextlib.suppress(OSError):
                    os.replace(path, self.folder / (bound.name + _REFUSED))
        return Found(None, refused)

    def remove(self, server_key: str, assignment: int) -> None:
        """Everything of an assignment that has ended. What cannot be removed stays, until it is old."""
        beginning = checkpoint.prefix(server_key, assignment)
        self._live = {name for name in self._live if not name.startswith(beginning)}
        with contextlib.suppress(OSError):
            for path, _ in self.files():
                if path.name.startswith(beginning) and path.suffix != ANSWERED:
                    path.unlink(missing_ok=True)

    def make_room(self, needed: int) -> None:
        """Have room for so many bytes: what belongs to no assignment in hand goes, the oldest first.

        Raises Unwritable.
        """
        files = sorted(self.files(), key=lambda file: file[1].st_mtime)
        used = sum(status.st_size for _, status in files)
        for path, status in files:
            if used + needed <= self.bytes_max:
                return
            if path.stem not in self._live or path.suffix == _REFUSED:
                path.unlink(missing_ok=True)
                used -= status.st_size
        if used + needed > self.bytes_max:
            raise Unwritable(
                f"{self.folder} would have more than {self.bytes_max} bytes", "Allow more with --disk-mib."
            )

    def files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Each file with its size and times. Raises OSError."""
        ours = (_NEWEST, _PREVIOUS, _NEW, _REFUSED, ANSWERED, _PART)
        for entry in os.scandir(self.folder):
            if entry.name.endswith(ours) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    yield Path(entry.path), entry.stat()


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """What the disk refuses, as Unwritable."""
    try:
        yield
    except BadFile as error:
        raise Unwritable(error.message, "Free some space, or check the folder.") from None
    except OSError as error:
        remedy = (
            "Free some space" if error.errno in FULL else "Check its permissions, or name another with --checkpoints"
        )
        raise Unwritable(f"{folder}: {(error.strerror or 'the system refused').lower()}", f"{remedy}.") from None
