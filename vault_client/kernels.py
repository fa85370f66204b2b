"""The fastest known ways to square modulo N, with their sources: against these a lock's duration is meant.

Nobody knows what others keep to themselves. docs/operations.md says how to choose among these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Opponent(StrEnum):
    """Against whom a file is to stay locked, as `lock --against` takes it."""

    PROCESSOR = "processor"
    FPGA = "fpga"
    CHIP = "chip"
    HERE = "this-machine"


@dataclass(frozen=True, slots=True)
class Kernel:
    """`nanoseconds` for each squaring, by modulus bits, at the sizes that the source has."""

    what: str
    nanoseconds: Mapping[int, float]
    source: str


PROCESSORS = (
    Kernel(
        "one core of an AMD EPYC (Zen 4, 3.7 GHz) with this project's kernel",
        {512: 42, 1024: 79, 2048: 187, 3072: 428, 4096: 690},
        "docs/kernel.md: vault-solver bench",
    ),
    Kernel(
        "the same core with GMP 6.3, one powmod for many squarings",
        {512: 83, 1024: 293, 2048: 1_030, 3072: 2_190, 4096: 3_690},
        "docs/kernel.md: vault-solver bench",
    ),
)

FPGAS = (
    Kernel(
        "winner of the second round of the VDF Alliance's competition (AWS F1)",
        {1024: 25.2},
        "https://blog.janestreet.com/really-low-latency-multipliers-and-cryptographic-puzzles/",
    ),
    Kernel(
        "winner of its first round (AWS F1)",
        {1024: 28.6},
        "https://github.com/supranational/vdf-fpga-round1-results",
    ),
    Kernel(
        "the FPGA on track to solve MIT's LCS35 puzzle, 79,685,186,856,218 squarings, in two months",
        {2048: 66},
        "https://techstartups.com/2019/04/29/"
        "self-taught-programmer-just-solved-mits-20-year-old-forgotten-crypto-puzzle-supposed-take-almost-35-years-answer/",
    ),
)

CHIPS = (
    Kernel(
        "what was once hoped of a chip for nothing else; none is known to exist",
        {1024: 1, 2048: 1},
        "https://ethresear.ch/t/fixed-modulus-timelock-puzzles/5402",
    ),
)

KERNELS: Mapping[Opponent, tuple[Kernel, ...]] = MappingProxyType(
    {Opponent.PROCESSOR: PROCESSORS, Opponent.FPGA: FPGAS, Opponent.CHIP: CHIPS}
)


def fastest(opponent: Opponent, bits: int) -> float:
    """Squarings a second of the fastest known kernel of a kind, modulo a number of so many bits.

    Where nobody has measured this size, the next smaller one counts as it is, and below all of them their smallest with
    the square of the length: what is guessed is guessed in favour of whoever opens.
    """
    known: dict[int, float] = {}
    for kernel in KERNELS[opponent]:
        for size, nanoseconds in kernel.nanoseconds.items():
            known[size] = min(nanoseconds, known.get(size, nanoseconds))
    size = max((size for size in known if size <= bits), default=min(known))
    return 1e9 / (known[size] * min(1.0, bits / size) ** 2)
