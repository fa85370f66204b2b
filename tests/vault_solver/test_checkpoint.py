"""A checkpoint's bytes: read back as they were written, refused when anything about them is not right."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.proof import proof_bytes
from vault_solver.checkpoint import VERSION, BadCheckpoint, Bound, bind, prefix, read, write
from vault_solver.pipe import Solve
from vault_solver.state import State

N = (1 << 511) + 111
SERVER, SOLVER, TASK = "ab" * 32, "cd" * 16, "ef" * 16
JOB = Solve(7, 1000, 3, N)
BOUND = bind(SERVER, SOLVER, TASK, JOB)
STATE = State(600, 12345, ((100, 5), (600, 12345)))
RAW = write(BOUND, STATE)


def summed(data: bytes) -> bytes:
    return data + hashlib.sha256(data).digest()


@given(
    done=st.integers(1, 1000),
    value=st.integers(1, N - 1),
    kept=st.dictionaries(st.integers(1, 1000), st.integers(1, N - 1), max_size=9),
)
def test_what_is_written_is_read(done: int, value: int, kept: dict[int, int]) -> None:
    state = State(done, value, tuple(sorted((mark, residue) for mark, residue in kept.items() if mark <= done)))
    assert read(BOUND, write(BOUND, state)) == state


def test_its_size_is_what_the_layout_says() -> None:
    assert len(RAW) == 24 + 4 + 8 + (32 + 8 + 4 + 64 + 4 + 2 * (8 + 64)) + 32


@given(at=st.integers(0, len(RAW) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(at: int, bit: int) -> None:
    damaged = bytearray(RAW)
    damaged[at] ^= 1 << bit
    with pytest.raises(BadCheckpoint):
        read(BOUND, bytes(damaged))


@given(st.integers(0, len(RAW) - 1))
def test_any_end_that_is_missing_is_noticed(length: int) -> None:
    with pytest.raises(BadCheckpoint):
        read(BOUND, RAW[:length])


@given(st.binary(max_size=400))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        read(BOUND, data)


def test_more_than_there_should_be_is_refused() -> None:
    with pytest.raises(BadCheckpoint, match="length"):
        read(BOUND, RAW + b"\0")


def test_a_newer_format_is_named() -> None:
    newer = summed(RAW[:24] + struct.pack(">I", VERSION + 1) + RAW[28:-32])
    with pytest.raises(BadCheckpoint, match="format 3, and this program knows format 1 and 2"):
        read(BOUND, newer)


def test_a_checkpoint_of_the_format_before_proofs_is_read() -> None:
    assert VERSION == 2
    older = RAW[:24] + struct.pack(">I", 1) + RAW[28:-32]
    assert read(BOUND, summed(older)) == STATE
    longer = older[:28] + struct.pack(">Q", len(older) - 36 + 1) + older[36:] + b"\1"
    with pytest.raises(BadCheckpoint, match="impossible"):
        read(BOUND, summed(longer))


def test_an_answer_is_read_with_its_proof_and_a_proof_has_its_length_and_its_place() -> None:
    proof = bytes(proof_bytes(1000, N))
    assert read(BOUND, write(BOUND, State(1000, 5, (), proof))) == State(1000, 5, (), proof)
    for impossible in (State(999, 5, (), proof), State(1000, 5, (), proof + b"\0"), State(1000, 5, (), proof[1:])):
        with pytest.raises(BadCheckpoint, match="impossible"):
            read(BOUND, write(BOUND, impossible))


@pytest.mark.parametrize(
    "other",
    [
        bind("aa" * 32, SOLVER, TASK, JOB),
        bind(SERVER, "aa" * 16, TASK, JOB),
        bind(SERVER, SOLVER, "aa" * 16, JOB),
        bind(SERVER, SOLVER, TASK, Solve(8, 1000, 3, N)),
        bind(SERVER, SOLVER, TASK, Solve(7, 1001, 3, N)),
        bind(SERVER, SOLVER, TASK, Solve(7, 1000, 4, N)),
        bind(SERVER, SOLVER, TASK, Solve(7, 1000, 3, N + 2)),
    ],
)
def test_one_of_anything_else_is_refused(other: Bound) -> None:
    assert other.name != BOUND.name
    with pytest.raises(BadCheckpoint, match="another puzzle"):
        read(other, RAW)


@pytest.mark.parametrize(
    "state",
    [
        State(1001, 5),
        State(600, 0),
        State(600, N),
        State(600, 5, ((0, 5),)),
        State(600, 5, ((601, 5),)),
        State(600, 5, ((200, 5), (100, 5))),
        State(600, 5, ((100, 5), (100, 5))),
        State(600, 5, ((100, 0),)),
    ],
)
def test_impossible_numbers_are_refused(state: State) -> None:
    with pytest.raises(BadCheckpoint, match="impossible"):
        read(BOUND, write(BOUND, state))


def test_a_count_that_lies_is_refused() -> None:
    at = 24 + 4 + 8 + 32 + 8 + 4 + 64
    for count in (1, 3, 2**32 - 1):
        with pytest.raises(BadCheckpoint):
            read(BOUND, summed(RAW[:at] + struct.pack(">I", count) + RAW[at + 4 : -32]))
    with pytest.raises(BadCheckpoint, match="too short"):
        read(BOUND, summed(RAW[:24] + struct.pack(">IQ", VERSION, 10) + RAW[36:46]))


def test_its_name_begins_with_the_assignment_and_shows_nothing() -> None:
    assert BOUND.name.startswith(prefix(SERVER, 7))
    assert not prefix(SERVER, 71).startswith(prefix(SERVER, 7))
    for number in (JOB.squarings, JOB.modulus):
        assert str(number) not in BOUND.name + repr(BOUND)
        assert f"{number:x}" not in BOUND.name + repr(BOUND)
