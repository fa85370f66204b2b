"""Locks and opens files: chunked AEAD under a key drawn from a puzzle's answer. Never keeps a file in memory.

The chunks are the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: Online authenticated-encryption and its
nonce-reuse misuse-resistance, 2015) over AES-256-GCM: counter and last-chunk flag in the nonce, so that chunks cannot
be left out, repeated, moved or cut off. docs/locked-file.md gives every byte.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.puzzle import Puzzle, answer_bytes, commit
from vault_client.errors import Damaged, FileError, WrongAnswer
from vault_client.files import file_error, whole_file
from vault_client.locked_header import CHUNK_BYTES, DIGEST_BYTES, SALT_BYTES, TAG_BYTES, Header, read_header

KEY_LABEL = b"vault locked file v1"

Advance = Callable[[int], object]
"""Told how many bytes of the plaintext are behind us."""


def _ignore(_news: object) -> None:
    """Nobody is watching."""


def nonce(number: int, *, last: bool) -> bytes:
    """Seven zero bytes, the chunk's number from 0 in four big-endian bytes, then 1 for the last chunk and 0 before."""
    return bytes(7) + number.to_bytes(4, "big") + (b"\x01" if last else b"\x00")


def _cipher(header: Header, answer: int) -> AESGCM:
    secret = answer_bytes(answer, header.puzzle.modulus)
    return AESGCM(HKDF(SHA256(), 32, salt=header.salt, info=KEY_LABEL).derive(secret))


def lock_file(
    source: Path,
    target: Path,
    puzzle: Puzzle,
    answer: int,
    *,
    force: bool = False,
    advance: Advance = _ignore,
    before_placing: Callable[[Header], object] = _ignore,
) -> Header:
    """Encrypt `source` into `target` under the answer; returns the header.

    `before_placing` is called once everything is on disk but not yet at `target`: what it raises leaves nothing behind.
    Raises FileError.
    """
    with _open(source) as file:
        header = Header(
            puzzle, CHUNK_BYTES, os.fstat(file.fileno()).st_size, secrets.token_bytes(SALT_BYTES),
            commit(answer, puzzle.modulus),
        )  # fmt: skip
        with whole_file(target, force=force) as out:
            checksum = hashlib.sha256()
            for part in _locked_parts(header, answer, _plain_chunks(source, file, header, advance)):
                checksum.update(part)
                out.write(part)
            out.write(checksum.digest())
            out.flush()
            before_placing(header)
    return header


def _locked_parts(header: Header, answer: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    cipher, bound = _cipher(header, answer), header.digest
    yield header.to_bytes()
    for number, chunk in enumerate(chunks):
        yield cipher.encrypt(nonce(number, last=number == header.chunks - 1), chunk, bound)


def _plain_chunks(path: Path, file: BinaryIO, header: Header, advance: Advance) -> Iterator[bytes]:
    done = 0
    for number in range(header.chunks):
        due = min(header.chunk_bytes, header.plaintext_bytes - number * header.chunk_bytes)
        chunk = _read(path, file, due)
        if len(chunk) < due:
            raise _changed(path)
        done += due
        yield chunk
        advance(done)
    if _read(path, file, 1):
        raise _changed(path)


@dataclass(frozen=True, slots=True)
class LockedFile:
    """A locked file whose header, size and checksum are in order: fit to ask somebody for its answer."""

    path: Path
    header: Header

    @classmethod
    def examine(cls, path: Path) -> LockedFile:
        """Read the whole file once, so that damage is found before anybody squares.

        Raises FileError, NotALockedFile, TooNew, Damaged.
        """
        with _open(path) as file:
            header = _header(path, file)
            _check_size(file, header)
            _check_sum(path, file, header)
        return cls(path, header)

    def unlock(self, answer: int, target: Path, *, force: bool = False, advance: Advance = _ignore) -> None:
        """Decrypt into `target`, which appears only when the last chunk has been verified.

        Raises WrongAnswer, Damaged, FileError.
        """
        if not self.header.fits(answer):
            raise WrongAnswer(
                f"The answer does not open {self.path}: it is not the one that the file was locked with.",
                "The file is left as it is; run unlock again to ask other solvers, or open it with --local.",
            )
        with _open(self.path) as file:
            if _header(self.path, file) != self.header:
                raise _changed(self.path)
            with whole_file(target, force=force) as out:
                for chunk in _opened_chunks(self.path, file, self.header, answer, advance):
                    out.write(chunk)


def _opened_chunks(path: Path, file: BinaryIO, header: Header, answer: int, advance: Advance) -> Iterator[bytes]:
    cipher, bound = _cipher(header, answer), header.digest
    done = 0
    for number in range(header.chunks):
        last = number == header.chunks - 1
        due = min(header.chunk_bytes, header.plaintext_bytes - done)
        try:
            chunk = cipher.decrypt(nonce(number, last=last), _read(path, file, due + TAG_BYTES), bound)
        except InvalidTag:
            raise _damaged(f"chunk {number + 1} of {header.chunks} does not open") from None
        done += due
        yield chunk
        advance(done)


def _check_size(file: BinaryIO, header: Header) -> None:
    size = os.fstat(file.fileno()).st_size
    if size != header.file_bytes:
        what = "truncated" if size < header.file_bytes else "too long"
        raise _damaged(f"it is {what} ({size} bytes instead of {header.file_bytes})")


def _check_sum(path: Path, file: BinaryIO, header: Header) -> None:
    checksum = hashlib.sha256(header.to_bytes())
    left = header.file_bytes - file.tell() - DIGEST_BYTES
    while left:
        part = _read(path, file, min(left, CHUNK_BYTES))
        if not part:
            raise _changed(path)
        checksum.update(part)
        left -= len(part)
    if _read(path, file, DIGEST_BYTES) != checksum.digest():
        raise _damaged("its checksum does not hold")


def _header(path: Path, file: BinaryIO) -> Header:
    try:
        return read_header(file)
    except OSError as error:
        raise file_error("read", path, error) from None


def _open(path: Path) -> BinaryIO:
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise FileError(f"{path} is no ordinary file.", "Name a file.")
        return path.open("rb")
    except OSError as error:
        raise file_error("read", path, error) from None


def _read(path: Path, file: BinaryIO, size: int) -> bytes:
    try:
        return file.read(size)
    except OSError as error:
        raise file_error("read", path, error) from None


def _changed(path: Path) -> FileError:
    return FileError(f"{path} changed while it was being read.", "Run the command again when nobody writes to it.")


def _damaged(what: str) -> Damaged:
    return Damaged(f"The locked file is damaged: {what}.", "Fetch another copy of it; this one is left as it is.")
