"""Answers that went out without a proof, kept as long as somebody may complain of them: a proof can still be made.

One file for each, `NAME.answered` in the folder of checkpoints, not forced onto the disk: what a crash takes away is a
proof, no answer. Their number and their share of the disk are bounded; those whose time ends first go first.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from vault_solver import checkpoint
from vault_solver.checkpoint import BadCheckpoint
from vault_solver.files import write_whole
from vault_solver.framing import BadFrame, frame, unframe
from vault_solver.pipe import Solve
from vault_solver.state import State
from vault_solver.store import ANSWERED, Store, Unwritable, explained

FILES_MAX = 256
DISK_SHARE = 0.25
"""Of what all checkpoints may have together."""

MAGIC = b"vault-solver answer kept"
VERSION = 1
_HEAD = struct.Struct(">16sQI")


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered, and the state that a proof can be made from; `kept_until_ms` nobody complains any more."""

    job: Solve
    task: str
    answer: int = field(repr=False)
    kept_until_ms: int


class Archive:
    """Bound to one solver's key. Not safe for two threads at once, nor beside the store's."""

    def __init__(self, store: Store, solver: str, files_max: int = FILES_MAX) -> None:
        self._store = store
        self._solver = solver
        self._files_max = files_max

    def keep(self, server_key: str, answered: Answered, now_ms: int) -> None:
        """Write one more down, and drop what is over or too much. Raises Unwritable."""
        data = self._write(server_key, answered)
        if len(data) > self._store.bytes_max * DISK_SHARE:
            raise Unwritable("an answer's residues are more than a quarter of the room", "Allow more with --disk-mib.")
        with explained(self._store.folder):
            self._clear(len(data), now_ms)
            self._store.make_room(len(data))
            beginning = checkpoint.prefix(server_key, answered.job.assignment)
            write_whole(self._store.folder / f"{beginning}{answered.kept_until_ms}{ANSWERED}", data, durable=False)

    def find(self, server_key: str, assignment: int) -> Answered | None:
        """What was kept of this assignment; nothing where it is not there any more, damaged or another's."""
        beginning = checkpoint.prefix(server_key, assignment)
        for until_ms, path, _ in self._files():
            if path.name.startswith(beginning):
                with contextlib.suppress(OSError, BadFrame, BadCheckpoint, struct.error):
                    return self._read(server_key, assignment, until_ms, path.read_bytes())
        return None

    def _clear(self, needed: int, now_ms: int) -> None:
        files = sorted(self._files())
        count, used = len(files), sum(size for _, _, size in files)
        for until_ms, path, size in files:
            is_full = count >= self._files_max or used + needed > self._store.bytes_max * DISK_SHARE
            if until_ms > now_ms and not is_full:
                return
            path.unlink(missing_ok=True)
            count, used = count - 1, used - size

    def _files(self) -> Iterator[tuple[int, Path, int]]:
        """Until when each is kept, where it is and how large."""
        with contextlib.suppress(OSError):
            for path, status in list(self._store.files()):
                until = path.stem.rpartition("-")[2]
                if path.suffix == ANSWERED and until.isdigit():
                    yield int(until), path, status.st_size

    def _write(self, server_key: str, answered: Answered) -> bytes:
        job = answered.job
        numbers = (job.base, job.modulus, answered.answer)
        width = max((number.bit_length() + 7) // 8 for number in numbers)
        head = _HEAD.pack(bytes.fromhex(answered.task), job.squarings, width)
        bound = checkpoint.bind(server_key, self._solver, answered.task, job)
        state = b"" if job.state is None else checkpoint.write(bound, job.state)
        return frame(MAGIC, VERSION, head + b"".join(number.to_bytes(width, "big") for number in numbers) + state)

    def _read(self, server_key: str, assignment: int, until_ms: int, data: bytes) -> Answered:
        _, body = unframe(MAGIC, (VERSION,), data)
        task, squarings, width = _HEAD.unpack_from(body)
        ends = [_HEAD.size + width * place for place in range(4)]
        base, modulus, answer = (int.from_bytes(body[start:end], "big") for start, end in pairwise(ends))
        job = Solve(assignment, squarings, base, modulus)
        state: State | None = None
        if body[ends[-1] :]:
            state = checkpoint.read(checkpoint.bind(server_key, self._solver, task.hex(), job), body[ends[-1] :])
        return Answered(Solve(assignment, squarings, base, modulus, state), task.hex(), answer, until_ms)
