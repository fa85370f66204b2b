"""Locked files: what was locked comes back, and nothing else ever does."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.puzzle import Puzzle, Ticket
from tests.vault_client.conftest import Sample
from vault_client import locked_file
from vault_client.errors import Damaged, FileError, NotALockedFile, TooNew, WrongAnswer
from vault_client.locked_file import LockedFile, lock_file
from vault_client.locked_header import CHUNK_BYTES

CHUNK = CHUNK_BYTES + 16


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_a_file_comes_back(size: int, made: tuple[Puzzle, int, Ticket], tmp_path: Path) -> None:
    plain, locked, opened = (tmp_path / name for name in ("plain", "plain.locked", "opened"))
    plain.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    header = lock_file(plain, locked, made[0], made[1])
    assert locked.stat().st_size == header.file_bytes
    LockedFile.examine(locked).unlock(made[1], opened)
    assert opened.read_bytes() == plain.read_bytes()
    assert left_in(tmp_path) == {"plain", "plain.locked", "opened"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(content=st.integers(0, 5).flatmap(lambda n: st.binary(min_size=max(0, 32 * n - 1), max_size=32 * n + 1)))
def test_sizes_around_the_edges_of_chunks_come_back(
    content: bytes, made: tuple[Puzzle, int, Ticket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locked_file, "CHUNK_BYTES", 32)
    plain, locked, opened = (tmp_path / name for name in ("plain", "plain.locked", "opened"))
    plain.write_bytes(content)
    header = lock_file(plain, locked, made[0], made[1], force=True)
    assert header.chunk_bytes == 32
    LockedFile.examine(locked).unlock(made[1], opened, force=True)
    assert opened.read_bytes() == content


def test_the_documented_bytes_are_enough_to_open_a_file(sample: Sample) -> None:
    """A second reader, written from docs/locked-file.md."""
    data = sample.locked.read_bytes()
    magic, version, width, t, chunk_bytes, size, salt, commitment = struct.unpack(">8sHHQIQ32s32s", data[:96])
    modulus, base = (int.from_bytes(data[96 + i * width : 96 + (i + 1) * width], "big") for i in (0, 1))
    digest = hashlib.sha256(data[: 96 + 2 * width]).digest()
    assert (magic, version, width, chunk_bytes) == (b"\x89VLOCK\r\n", 1, 64, 65_536)
    assert data[96 + 2 * width : 160 + 2 * width][:32] == digest
    assert data[-32:] == hashlib.sha256(data[:-32]).digest()
    answer = pow(base, 2**t, modulus).to_bytes(width, "big")
    assert commitment == hashlib.sha256(answer).digest()
    cipher = AESGCM(HKDF(SHA256(), 32, salt=salt, info=b"vault locked file v1").derive(answer))
    body, plain = data[128 + 2 * width : -32], b""
    pieces = [body[i : i + chunk_bytes + 16] for i in range(0, len(body), chunk_bytes + 16)]
    for number, piece in enumerate(pieces):
        nonce = bytes(7) + number.to_bytes(4, "big") + bytes([number == len(pieces) - 1])
        plain += cipher.decrypt(nonce, piece, digest)
    assert plain == sample.plain.read_bytes()
    assert len(plain) == size


def cut(kept: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:kept]


def flip(position: int) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[position] ^= 1
        return bytes(changed)

    return edit


TRUNCATIONS = {
    "inside the magic": 5, "after the magic": 8, "inside the fixed fields": 60, "inside the modulus": 120,
    "inside the header's digest": 270, "after the header": 256, "inside a chunk": 40_000,
    "between two chunks": 256 + CHUNK, "before the checksum": -32, "in the last byte": -1,
}  # fmt: skip
EDITS = {
    "L": 11, "t": 19, "chunk size": 23, "plaintext size": 31, "salt": 40, "commitment": 70, "modulus": 100, "base": 170,
    "header's digest": 240, "first chunk": 300, "a tag": 256 + CHUNK - 3, "last chunk": -40, "checksum": -5,
}  # fmt: skip


@pytest.mark.parametrize("kept", TRUNCATIONS.values(), ids=TRUNCATIONS)
def test_a_truncated_file_is_refused_before_anybody_is_asked(kept: int, sample: Sample) -> None:
    data = cut(kept)(sample.locked.read_bytes())
    sample.locked.write_bytes(data)
    with pytest.raises(Damaged, match="truncated"):
        LockedFile.examine(sample.locked)
    assert sample.locked.read_bytes() == data


@pytest.mark.parametrize("position", EDITS.values(), ids=EDITS)
def test_an_edited_file_is_refused_before_anybody_is_asked(position: int, sample: Sample) -> None:
    data = flip(position)(sample.locked.read_bytes())
    sample.locked.write_bytes(data)
    with pytest.raises(Damaged):
        LockedFile.examine(sample.locked)
    assert sample.locked.read_bytes() == data


def test_a_longer_file_is_refused(sample: Sample) -> None:
    with sample.locked.open("ab") as file:
        file.write(b"x")
    with pytest.raises(Damaged, match="too long"):
        LockedFile.examine(sample.locked)


def forged(data: bytes) -> bytes:
    """What somebody does who edits a file on purpose: both checksums hold again."""
    body, rest = data[:224], data[256:-32]
    header = body + hashlib.sha256(body).digest()
    return header + rest + hashlib.sha256(header + rest).digest()


def swap_chunks(data: bytes) -> bytes:
    first, second = data[256 : 256 + CHUNK], data[256 + CHUNK : 256 + 2 * CHUNK]
    return data[:256] + second + first + data[256 + 2 * CHUNK :]


def drop_last_chunk(data: bytes) -> bytes:
    size = (2 * CHUNK_BYTES).to_bytes(8, "big")
    return data[:24] + size + data[32 : 256 + 2 * CHUNK] + data[-32:]


FORGERIES = {
    "a chunk's byte": flip(300),
    "a tag": flip(256 + CHUNK - 3),
    "t": flip(19),
    "the salt": flip(40),
    "the base": flip(200),
    "two chunks exchanged": swap_chunks,
    "the last chunk left out": drop_last_chunk,
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_file_edited_on_purpose_does_not_open_and_leaves_nothing(
    forge: Callable[[bytes], bytes], sample: Sample, tmp_path: Path
) -> None:
    assert forged(sample.locked.read_bytes()) == sample.locked.read_bytes()
    sample.locked.write_bytes(forged(forge(sample.locked.read_bytes())))
    before = left_in(tmp_path)
    with pytest.raises(Damaged, match="does not open"):
        LockedFile.examine(sample.locked).unlock(sample.answer, tmp_path / "opened")
    assert left_in(tmp_path) == before


def test_a_newer_version_is_refused_as_such(sample: Sample) -> None:
    data = sample.locked.read_bytes()
    newer = data[:8] + b"\x00\x02" + b"what a newer program writes"
    sample.locked.write_bytes(newer)
    with pytest.raises(TooNew, match=r"version 2.*newer vault-client"):
        LockedFile.examine(sample.locked)
    assert sample.locked.read_bytes() == newer


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 some archive", b"\x89PNG\r\n\x1a\n" * 100])
def test_what_is_no_locked_file_is_refused_as_such(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.locked"
    path.write_bytes(content)
    with pytest.raises(NotALockedFile):
        LockedFile.examine(path)


@pytest.mark.parametrize("wrong", ["one more", "the negative", "zero", "the modulus added"])
def test_a_wrong_answer_is_told_from_damage(wrong: str, sample: Sample, tmp_path: Path) -> None:
    modulus = sample.puzzle.modulus
    answer = {
        "one more": sample.answer + 1,
        "the negative": modulus - sample.answer,
        "zero": 0,
        "the modulus added": sample.answer + modulus,
    }[wrong]
    before = left_in(tmp_path)
    with pytest.raises(WrongAnswer, match="not the one"):
        LockedFile.examine(sample.locked).unlock(answer, tmp_path / "opened")
    assert left_in(tmp_path) == before


def test_a_file_that_is_replaced_during_the_wait_is_noticed(sample: Sample, tmp_path: Path) -> None:
    examined = LockedFile.examine(sample.locked)
    lock_file(sample.plain, sample.locked, sample.puzzle, sample.answer, force=True)
    with pytest.raises(FileError, match="changed"):
        examined.unlock(sample.answer, tmp_path / "opened")


def test_two_locked_files_of_one_puzzle_share_neither_key_nor_name(sample: Sample, tmp_path: Path) -> None:
    again = lock_file(sample.plain, tmp_path / "again", sample.puzzle, sample.answer)
    assert again.digest != sample.header.digest
    first, second = sample.locked.read_bytes(), (tmp_path / "again").read_bytes()
    assert first[256:300] != second[256:300]


@pytest.mark.parametrize("grown", [-1, 1])
def test_a_file_that_changes_while_it_is_locked_is_refused(grown: int, sample: Sample, tmp_path: Path) -> None:
    def change(_done: int) -> None:
        with sample.plain.open("r+b") as file:
            file.truncate(150_000 + grown)

    with pytest.raises(FileError, match="changed"):
        lock_file(sample.plain, tmp_path / "again", sample.puzzle, sample.answer, advance=change)
    assert not (tmp_path / "again").exists()


def test_the_puzzle_does_not_show_in_a_repr(sample: Sample) -> None:
    shown = repr(sample.header)
    assert str(sample.puzzle.modulus) not in shown
    assert str(sample.puzzle.base) not in shown


def test_a_large_file_does_not_fill_memory(sample: Sample, tmp_path: Path) -> None:
    large, locked = tmp_path / "large", tmp_path / "large.locked"
    with large.open("wb") as file:
        file.truncate(32 * 2**20)
    tracemalloc.start()
    try:
        lock_file(large, locked, sample.puzzle, sample.answer)
        LockedFile.examine(locked).unlock(sample.answer, tmp_path / "opened")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20
    assert (tmp_path / "opened").stat().st_size == 32 * 2**20
