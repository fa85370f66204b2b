"""The header of a locked file: what is published of its puzzle, and how the rest is encrypted. Holds no secret.

docs/locked-file.md gives every byte.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import BinaryIO

from protocol.fields import INTEGER_MAX
from protocol.puzzle import Puzzle, commit
from protocol.vault import MODULUS_BYTES_MAX
from vault_client.errors import Damaged, NotALockedFile, TooNew

MAGIC = b"\x89VLOCK\r\n"
"""As in PNG: the first byte is no text, and a transfer that changes line ends breaks it at once."""
VERSION = 1

CHUNK_BYTES = 65_536
CHUNK_BYTES_MAX = 2**24
TAG_BYTES = 16
SALT_BYTES = 32
DIGEST_BYTES = 32
CHUNKS_MAX = 2**32
"""The counter in a chunk's nonce has four bytes."""

_START = struct.Struct(">8sH")
_FIXED = struct.Struct(">HQIQ32s32s")


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the encrypted chunks.

    `answer_commitment` is `protocol.puzzle.commit` of the answer: it tells a wrong answer from a damaged file.
    """

    puzzle: Puzzle
    chunk_bytes: int
    plaintext_bytes: int
    salt: bytes
    answer_commitment: bytes

    @property
    def body(self) -> bytes:
        """The header without its checksum."""
        width = (self.puzzle.modulus.bit_length() + 7) // 8
        fixed = _FIXED.pack(
            width,
            self.puzzle.squarings,
            self.chunk_bytes,
            self.plaintext_bytes,
            self.salt,
            self.answer_commitment,
        )
        numbers = self.puzzle.modulus.to_bytes(width, "big") + self.puzzle.base.to_bytes(width, "big")
        return _START.pack(MAGIC, VERSION) + fixed + numbers

    @property
    def digest(self) -> bytes:
        """SHA-256 of the body, 32 bytes: the name by which tickets and resume files know this locked file."""
        return hashlib.sha256(self.body).digest()

    def to_bytes(self) -> bytes:
        """The header as it stands in the file: the body, then its digest as a checksum."""
        return self.body + self.digest

    @property
    def chunks(self) -> int:
        """How many chunks follow; an empty file has one, empty."""
        return max(1, -(-self.plaintext_bytes // self.chunk_bytes))

    @property
    def file_bytes(self) -> int:
        """The exact size of the whole locked file."""
        tags = self.chunks * TAG_BYTES
        return len(self.body) + DIGEST_BYTES + self.plaintext_bytes + tags + DIGEST_BYTES

    def fits(self, answer: int) -> bool:
        """Whether this is the answer that the file was locked with."""
        modulus = self.puzzle.modulus
        return 0 < answer < modulus and commit(answer, modulus) == self.answer_commitment


def read_header(file: BinaryIO) -> Header:
    """Read and check a header from the start of a file. Raises NotALockedFile, TooNew, Damaged."""
    start = file.read(_START.size)
    if start[: len(MAGIC)] != MAGIC:
        raise _no_locked_file(start)
    if len(start) < _START.size:
        raise _truncated()
    _, version = _START.unpack(start)
    if version != VERSION:
        raise _other_version(version)
    fixed = file.read(_FIXED.size)
    if len(fixed) < _FIXED.size:
        raise _truncated()
    width, squarings, chunk_bytes, plaintext_bytes, salt, commitment = _FIXED.unpack(fixed)
    if not 1 <= width <= MODULUS_BYTES_MAX:
        raise _damaged()
    numbers = file.read(2 * width)
    checksum = file.read(DIGEST_BYTES)
    if len(numbers) + len(checksum) < 2 * width + DIGEST_BYTES:
        raise _truncated()
    if hashlib.sha256(start + fixed + numbers).digest() != checksum:
        raise _damaged()
    puzzle = Puzzle(squarings, int.from_bytes(numbers[width:], "big"), int.from_bytes(numbers[:width], "big"))
    header = Header(puzzle, chunk_bytes, plaintext_bytes, salt, commitment)
    _check(header, width)
    return header


def _check(header: Header, width: int) -> None:
    puzzle = header.puzzle
    sound = (
        1 <= puzzle.squarings <= INTEGER_MAX
        and (puzzle.modulus.bit_length() + 7) // 8 == width
        and puzzle.modulus % 2 == 1
        and 2 <= puzzle.base <= puzzle.modulus - 2
        and 1 <= header.chunk_bytes <= CHUNK_BYTES_MAX
        and header.chunks <= CHUNKS_MAX
    )
    if not sound:
        raise _damaged()


_ANOTHER_COPY = "Fetch another copy of it; this one is left as it is."


def _no_locked_file(start: bytes) -> NotALockedFile | Damaged:
    if start and MAGIC.startswith(start):
        return _truncated()
    return NotALockedFile("This is not a locked file.", "Name a file that `vault-client lock` has made.")


def _other_version(version: int) -> TooNew | Damaged:
    if version == 0:
        return _damaged()
    return TooNew(
        f"This locked file has format version {version}; this program reads version {VERSION}.",
        "Install a newer vault-client; the file is left as it is.",
    )


def _truncated() -> Damaged:
    return Damaged("The locked file is truncated: it ends inside its header.", _ANOTHER_COPY)


def _damaged() -> Damaged:
    return Damaged("The locked file's header has been changed or damaged.", _ANOTHER_COPY)
