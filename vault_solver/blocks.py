"""How many squarings one call of GMP gets, and which puzzles are checked. Pure numbers.

GMP's powmod builds a table of powers for each call: 2^(w-1) products for an exponent of up to the w-th size below, 512
above the last. A product costs about `PRODUCT` squarings. Gerbicz's check costs one block for all blocks since the last
check. With L squarings a block and C between checks, both together are PRODUCT·2^(w-1)/L + L/C of the work; L is chosen
for their least sum. At 2048 bits by this count:

    C (squarings)         10^5   10^6   10^7   3·10^7
    L                      672   4608  28160  135,764
    the check alone, %     0.7    0.5    0.3    0.5
    with the table, %      3.5    2.1    1.4    0.9     (table alone, without checks: 0.8 for L = 80,000)

A puzzle of fewer than `CHECKED_MIN` squarings is solved in a tenth of a second and not checked: nothing is lost when
its answer is wrong but that tenth, and the check would cost 3.5 %.

Residues that a proof needs end a block as well, so blocks are chosen that divide the gaps between them. A proof that
holds is a check of everything before it: the end of a puzzle that is proved needs no check of its own.
"""

from __future__ import annotations

import math

CHECKED_MIN = 100_000
"""Squarings below which a puzzle goes without a check, and so without checkpoints."""

UNCHECKED_BLOCK = 11_520

BLOCK_MAX = 1_000_000
"""However small the numbers are: somebody may want to stop it."""

PRODUCT = 1.2
"""Squarings that a product of the table costs, measured at 1024 to 4096 bits with GMP 6.3."""

REFERENCE_SPEED, REFERENCE_BITS = 1_000_000, 2048
"""Squarings a second that a processor of today does; other sizes take the square of their length in proportion."""

_TABLES = ((672, 16), (1_792, 32), (4_608, 64), (11_520, 128), (28_160, 256))
"""Largest exponent, in bits after the first, and products of its table (GMP 6.3, mpn/generic/powm.c)."""
_LARGEST_TABLE = 512


LOOK_SECONDS = 0.15
"""A block takes about this long at most, since orders are looked for between blocks."""


def between_checks(bits: int, check_seconds: float) -> int:
    """About how many squarings fit between two checks."""
    return max(1, int(check_seconds * REFERENCE_SPEED * (REFERENCE_BITS / bits) ** 2))


def block_squarings(
    squarings: int, bits: int, check_seconds: float, *, gap: int | None = None, is_end_proved: bool = False
) -> int:
    """The best length of a block for a puzzle of so many squarings, modulo a number of `bits` bits.

    A residue is kept every `gap` squarings; `is_end_proved` says that no check comes behind the last one.
    """
    if squarings < CHECKED_MIN:
        return UNCHECKED_BLOCK
    gap = min(gap or squarings, squarings)
    checked = min(squarings, between_checks(bits, check_seconds))
    without_end = min(BLOCK_MAX, max(_TABLES[-1][0] + 1, math.isqrt(int(PRODUCT * _LARGEST_TABLE * checked))))
    longest = min(BLOCK_MAX, between_checks(bits, LOOK_SECONDS), gap)
    lengths = {next_block(0, gap, length) for length, _ in (*_TABLES, (without_end, 0), (longest, 0))}
    share = check_share(squarings, bits, check_seconds, is_end_proved=is_end_proved)
    return min(sorted(lengths), key=lambda length: block_cost(length) + length * share)


def block_cost(length: int) -> float:
    """What GMP's tables add to blocks of this length, as a part of them."""
    products = next((count for largest, count in _TABLES if length <= largest), _LARGEST_TABLE)
    return PRODUCT * products / length


def check_share(squarings: int, bits: int, check_seconds: float, *, is_end_proved: bool) -> float:
    """Checks a squaring: each costs about one block."""
    between = between_checks(bits, check_seconds)
    if is_end_proved:
        return 0.0 if is_near_end(squarings, between) else 1 / between
    return 1 / min(squarings, between)


def is_near_end(left: int, since_check: int) -> bool:
    """Whether a check that is due can wait for the end: half as far away, at most, as the last check is."""
    return 2 * left <= since_check


def next_block(done: int, end: int, longest: int) -> int:
    """Squarings of the next block on the way to `end`: what is left in equal parts, none above `longest`."""
    left = end - done
    parts = -(-left // longest)
    return -(-left // parts)
