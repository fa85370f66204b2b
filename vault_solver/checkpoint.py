"""A checkpoint as bytes: what it is bound to, and how a damaged, foreign or newer one is recognised. Touches no disk.

Layout, integers big-endian: 24 bytes that say what it is; version (4); length of the body (8); the body; SHA-256 of
everything before it (32). So much holds for every version. Body of version 1: what it is bound to (32); squarings done
(8); width of a residue (4); the residue reached; number of residues kept for a proof (4); for each its number of
squarings (8) and itself.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from itertools import pairwise

from vault_solver.pipe import Solve
from vault_solver.state import State

MAGIC = b"vault-solver checkpoint\n"
VERSION = 1

_HEAD = struct.Struct(">24sIQ")
_BODY = struct.Struct(">32sQI")
_COUNT = struct.Struct(">I")
_MARK = struct.Struct(">Q")
_SUM_BYTES = 32


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
    length = sum(map(len, body))
    data = b"".join([_HEAD.pack(MAGIC, VERSION, length), *body])
    return data + hashlib.sha256(data).digest()


def read(bound: Bound, data: bytes) -> State:
    """The state in these bytes. Raises BadCheckpoint."""
    if len(data) < _HEAD.size + _SUM_BYTES:
        raise BadCheckpoint("it is cut short")
    magic, version, length = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise BadCheckpoint("it is no checkpoint")
    if len(data) != _HEAD.size + length + _SUM_BYTES:
        raise BadCheckpoint("its length is wrong")
    if hashlib.sha256(data[:-_SUM_BYTES]).digest() != data[-_SUM_BYTES:]:
        raise BadCheckpoint("its checksum is wrong: it is damaged")
    if version != VERSION:
        raise BadCheckpoint(f"it has format {version}, and this program knows format {VERSION} alone")
    return _read_body(bound, data[_HEAD.size : -_SUM_BYTES])


def _read_body(bound: Bound, body: bytes) -> State:
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
    _refuse_impossible(bound, State(done, value, kept), width, len(body) == at + count * each)
    return State(done, value, kept)


def _read_kept(raw: bytes) -> tuple[int, int]:
    return _MARK.unpack_from(raw)[0], int.from_bytes(raw[_MARK.size :], "big")


def _refuse_impossible(bound: Bound, state: State, width: int, whole: bool) -> None:
    residues = [state.value, *(residue for _, residue in state.kept)]
    marks = [0, *(mark for mark, _ in state.kept), state.done + 1, bound.squarings + 1]
    rising = all(one < other for one, other in pairwise(marks[:-1])) and marks[-2] <= marks[-1]
    if not (whole and width == bound.width and rising and all(0 < residue < bound.modulus for residue in residues)):
        raise BadCheckpoint("its numbers are impossible for this puzzle")
