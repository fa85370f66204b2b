"""Chunked squaring gives what Python's own pow gives, however the chunks fall."""

from __future__ import annotations

from time import perf_counter

from hypothesis import given
from hypothesis import strategies as st

from protocol.puzzle import square_repeatedly
from vault_solver.calibration import SIZES, calibrate
from vault_solver.squaring import GROWTH_MAX, square_in_chunks

MODULUS = 0xC9F2_6D3B_5A41_77E5_9B0D_1F2E_8C34_AA17_D5E8_0B63_92FC_41D9_7E06_B85F_23CA_9D41


@given(
    base=st.integers(2, MODULUS - 2),
    squarings=st.integers(1, 400),
    modulus=st.integers(3, 2**128).map(lambda n: n | 1),
    chunk=st.integers(1, 100),
)
def test_any_chunks_give_what_pow_gives(base: int, squarings: int, modulus: int, chunk: int) -> None:
    steps = list(square_in_chunks(base, squarings, modulus, chunk_seconds=1e-6, first_chunk=chunk))
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})
    assert steps[-1] == (squarings, pow(base, 1 << squarings, modulus))
    assert all(value == pow(base, 1 << done, modulus) for done, value in steps)


def test_a_puzzle_smaller_than_the_first_chunk_is_one_step() -> None:
    assert list(square_in_chunks(3, 1, MODULUS)) == [(1, 9)]


def test_chunks_come_near_the_time_they_are_sized_for() -> None:
    times, started = [], perf_counter()
    for _ in square_in_chunks(3, 3_000_000, MODULUS, chunk_seconds=0.01):
        times.append(perf_counter() - started)
        started = perf_counter()
    # Other guests of the machine make single chunks longer, so it is the typical one that is looked at.
    assert 0.002 < sorted(times)[len(times) // 2] < 0.05


def test_a_mismeasured_chunk_makes_the_next_only_so_much_longer() -> None:
    done = [done for done, _ in square_in_chunks(3, 10_000, MODULUS, chunk_seconds=1000, first_chunk=10)]
    assert done == [10, 10 + 10 * GROWTH_MAX, 10 + 10 * GROWTH_MAX + 10 * GROWTH_MAX**2, 10_000]


def test_chunks_lead_where_one_long_call_leads() -> None:
    *_, (_, answer) = square_in_chunks(5, 60_000, MODULUS, chunk_seconds=0.001)
    assert answer == square_repeatedly(5, 60_000, MODULUS)


def test_calibration_names_every_size_and_larger_ones_are_slower() -> None:
    speeds = calibrate(0.03)
    assert list(speeds) == [str(bits) for bits in SIZES]
    assert speeds["512"] > speeds["1024"] > speeds["2048"] > speeds["4096"] > 0
