"""The table of the fastest known kernels: complete, with a source for each row, and guesses in favour of who opens."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vault_client.kernels import CHIPS, FPGAS, KERNELS, PROCESSORS, Opponent, fastest

OPPONENTS = (Opponent.PROCESSOR, Opponent.FPGA, Opponent.CHIP)


def test_every_opponent_but_this_machine_has_rows_and_every_row_a_source() -> None:
    assert tuple(KERNELS) == OPPONENTS
    for kernel in (*PROCESSORS, *FPGAS, *CHIPS):
        assert kernel.what
        assert kernel.nanoseconds
        assert kernel.source.startswith(("https://", "docs/kernel.md"))


@pytest.mark.parametrize("opponent", OPPONENTS)
def test_longer_moduli_are_never_quicker_and_every_size_has_a_speed(opponent: Opponent) -> None:
    speeds = [fastest(opponent, bits) for bits in range(512, 8193, 64)]
    assert all(later <= sooner for sooner, later in pairwise(speeds))
    assert speeds[-1] > 0


def test_the_fastest_of_the_rows_counts() -> None:
    assert fastest(Opponent.PROCESSOR, 2048) == pytest.approx(1e9 / PROCESSORS[0].nanoseconds[2048])
    assert fastest(Opponent.FPGA, 1024) == pytest.approx(1e9 / 25.2)
    assert fastest(Opponent.FPGA, 2048) == pytest.approx(1e9 / 66)


def test_between_sizes_the_smaller_counts_and_below_all_of_them_the_square_of_the_length() -> None:
    assert fastest(Opponent.PROCESSOR, 3071) == fastest(Opponent.PROCESSOR, 2048)
    assert fastest(Opponent.PROCESSOR, 8192) == fastest(Opponent.PROCESSOR, 4096)
    assert fastest(Opponent.FPGA, 512) == pytest.approx(4 * fastest(Opponent.FPGA, 1024))


def test_a_chip_is_quicker_than_an_fpga_and_that_than_a_processor() -> None:
    for bits in (512, 1024, 2048, 3072, 4096):
        assert fastest(Opponent.CHIP, bits) > fastest(Opponent.FPGA, bits) > fastest(Opponent.PROCESSOR, bits)
