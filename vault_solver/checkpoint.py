"""A checkpoint as bytes: what it is bound to, and how a damaged, foreign or newer one is recognised. Touches no disk.

Framed as `vault_solver.framing` says; integers big-endian. Body of version 2: what it is bound to (32); squarings done
(8); width of a residue (4); the residue reached; number of residues kept for a proof (4); for each its number of
squarings (8) and itself; to the end the proof, where there is one. Version 1, which is read as well, had no proof.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from itertools import pairwise

from protocol.proof import proof_bytes
from vault_solver.framing import BadFrame, frame, unframe
from vault_solver.pipe import Solve
from vault_solver.state import State

MAGIC = b"vault-solver checkpoint\n"
VERSION = 2
READABLE = (1, VERSION)

_BODY = struct.Struct(">32sQI")
_COUNT = struct.Struct(">I")
_MARK = struct.Struct(">Q")


class BadCheckpoint(Exception):
    """Bytes that are not gone on from; the text says why and holds no number of a puzzle."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One assignment's puzzle as its checkpoints know it: `name` for their files, `digest` inside them."""

    name: str
    digest: bytes = field(repr=False)
    squarings: int = field(repr=False)
    modulus: int = field(repr=False)

    @property
    def width(self) -> int:
        """Bytes of a residue."""
        return (self.modulus.bit_length() + 7) // 8


def bind(server_key: str, solver: str, task: str, job: Solve) -> Bound:
    """Server, solver, assignment, task and puzzle together: a checkpoint of any other is refused."""
    numbers = (job.assignment, job.squarings, job.base, job.modulus)
    parts = [part.encode() for part in ("vault-solver checkpoint", server_key, solver, task, *map(hex, numbers))]
    digest = hashlib.sha256(b"".join(struct.pack(">I", len(part)) + part for part in parts)).digest()
    return Bound(f"{prefix(server_key, job.assignment)}{digest.hex()[:32]}", digest, job.squarings, job.modulus)


def prefix(server_key: str, assignment: int) -> str:
    """What the names of an assignment's files begin with."""
    return f"{server_key[:16]}-{assignment}-"


def write(bound: Bound, state: State) -> bytes:
    """The bytes of a checkpoint."""
    body = [_BODY.pack(bound.digest, state.done, bound.width), state.value.to_bytes(bound.width, "big")]
    body.append(_COUNT.pack(len(state.kept)))
    body += [_MARK.pack(mark) + residue.to_bytes(bound.width, "big") for mark, residue in state.kept]
    return frame(MAGIC, VERSION, b"".join([*body, state.proof]))


def read(bound: Bound, data: bytes) -> State:
    """The state in these bytes. Raises BadCheckpoint."""
    try:
        version, body = unframe(MAGIC, READABLE, data)
    except BadFrame as error:
        raise BadCheckpoint(str(error)) from None
    return _read_body(bound, body, may_be_proved=version > 1)


def _read_body(bound: Bound, body: bytes, *, may_be_proved: bool) -> State:
    try:
        digest, done, width = _BODY.unpack_from(body)
        if digest != bound.digest:
            raise BadCheckpoint("it belongs to another puzzle, assignment, server or solver")
        at = _BODY.size + width
        value = int.from_bytes(body[_BODY.size : at], "big")
        (count,) = _COUNT.unpack_from(body, at)
        at += _COUNT.size
        each = _MARK.size + width
        kept = tuple(_read_kept(body[at + i * each : at + (i + 1) * each]) for i in range(count))
    except struct.error:
        raise BadCheckpoint("its body is too short") from None
    state = State(done, value, kept, body[at + count * each :])
    is_whole = len(body) >= at + count * each and (may_be_proved or not state.proof)
    _refuse_impossible(bound, state, width, is_whole)
    return state


def _read_kept(raw: bytes) -> tuple[int, int]:
    return _MARK.unpack_from(raw)[0], int.from_bytes(raw[_MARK.size :], "big")


def _refuse_impossible(bound: Bound, state: State, width: int, whole: bool) -> None:
    residues = [state.value, *(residue for _, residue in state.kept)]
    marks = [0, *(mark for mark, _ in state.kept), state.done + 1, bound.squarings + 1]
    rising = all(one < other for one, other in pairwise(marks[:-1])) and marks[-2] <= marks[-1]
    in_range = all(0 < residue < bound.modulus for residue in residues)
    if not (whole and width == bound.width and rising and in_range and _may_have_proof(bound, state)):
        raise BadCheckpoint("its numbers are impossible for this puzzle")


def _may_have_proof(bound: Bound, state: State) -> bool:
    at_end = state.done == bound.squarings
    return not state.proof or (at_end and len(state.proof) == proof_bytes(bound.squarings, bound.modulus))
