"""The solver at one moment, as plain values: what the screen shows and the summary says. Holds no t and no residue."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

CONNECTED = "connected"


@dataclass(frozen=True, slots=True)
class Work:
    """One assignment in hand. `share`, 0 to 1, is done of its squarings, or of its proof while it is being proved;
    `seconds_left` None when nobody can say."""

    assignment: int
    task: str
    modulus_bits: int
    state: str
    share: float
    squarings_a_second: float
    seconds_left: float | None
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class View:
    """Everything at a glance. `connection` is a few words; `memory_bytes` None where the system does not tell."""

    solver: str
    server: str
    connection: str
    state: str
    workers: int
    capacity: int
    work: tuple[Work, ...]
    squarings_a_second: float
    errors: int
    proofs: int
    proofs_erred: int
    proof_bytes_max: int
    checkpoints_written: int
    checkpoint_bytes: int
    checkpoint_bytes_max: int
    memory_bytes: int | None
    score: float | None
    score_reason: str
    verdicts: Mapping[str, int]


def resident_bytes(pids: Iterable[int]) -> int | None:
    """Memory that these processes have in use together; None where /proc does not say."""
    pages = 0
    for pid in pids:
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return None
    return pages * os.sysconf("SC_PAGE_SIZE")
