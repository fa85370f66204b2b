"""Moduli and values at which arithmetic goes wrong, if it does anywhere: extreme, sparse and dense."""

from __future__ import annotations

import random

SIZES = (512, 513, 828, 829, 1024, 1500, 1660, 2048, 2076, 2077, 2400, 2900, 3072, 3400, 4095, 4096)
"""Bits: the ends, the usual ones, some of every number of vectors, and both sides of where one more begins."""


def moduli(bits: int) -> dict[str, int]:
    """Odd numbers of exactly so many bits, by what is special about them."""
    top, draw = 1 << (bits - 1), random.Random(bits)
    return {
        "random": draw.getrandbits(bits) | top | 1,
        "largest": 2 * top - 1,
        "below the largest": 2 * top - 3,
        "smallest": top + 1,
        "a gap in the middle": 2 * top - (1 << bits // 2) - 1,
        "one limb full": top | (1 << 52) - 1,
        "every second bit": top | int("55" * (bits // 8), 16) | 1,
        "lowest limb small": draw.getrandbits(bits - 60) << 58 | top | 1,
        "close to a power": 2 * top - (draw.getrandbits(40) | 1),
    }


def values(modulus: int) -> dict[str, int]:
    """Numbers below the modulus."""
    bits, draw = modulus.bit_length(), random.Random(modulus)
    return {
        "0": 0,
        "1": 1,
        "2": 2,
        "largest": modulus - 1,
        "below the largest": modulus - 2,
        "half": (modulus + 1) // 2,
        "a power of two": 1 << (bits - 2),
        "low half full": (1 << bits // 2) - 1,
        "all but low half": modulus - (1 << bits // 2),
        "one limb": (1 << 52) - 1 << 104,
        "random": draw.randrange(modulus),
    }
