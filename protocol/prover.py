"""Make the proofs that proof.py checks, from residues that were kept while squaring.

Midpoints are products of powers of residues g^(2^i) that the squaring passes anyway (Pietrzak, eprint 2018/627).
Keeping 2^d of them, evenly spread, gives the first d midpoints; the others need the squarings of one gap, t / 2^d. So a
deeper plan trades squarings at the end for powers and memory. The whole state of a squaring that will be proved is its
newest residue and the kept ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import gmpy2

from protocol.proof import LAST_SQUARINGS, Challenges, Proof, Statement, representative, rounds
from protocol.puzzle import square_repeatedly

KEPT_BYTES_MAX = 2**20
"""Memory for kept residues: 4,096 of 2048 bits. Below t = 2·10^10 more would not pay."""

POWER_SQUARINGS = 163
"""A 128-bit power modulo N and a product cost as much as this many squarings (measured at 2048 bits, GMP 6.3)."""

STOP_SQUARINGS_MAX = 512
"""Stopping at an index is one more call of GMP, whose table costs a sixtieth of what is squared, at most this much."""

Square = Callable[[int, int, int], int]
"""(base, squarings, modulus) -> base^(2^squarings) mod modulus, like `puzzle.square_repeatedly`."""

Power = Callable[[gmpy2.mpz, int, gmpy2.mpz], gmpy2.mpz]
"""(base, exponent, modulus) -> base^exponent mod modulus, like `gmpy2.powmod`, for exponents of 128 bits."""


def proving_squarings(squarings: int, depth: int) -> int:
    """What a proof adds to a squaring, in squarings: a stop and nearly a power for each kept residue, and one gap."""
    gap, kept = (squarings - LAST_SQUARINGS) >> depth, 1 << depth
    powers = kept - 1 - depth + rounds(squarings)
    return kept * min(STOP_SQUARINGS_MAX, gap // 60) + powers * POWER_SQUARINGS + gap


def best_depth(squarings: int, modulus_bits: int, kept_bytes_max: int = KEPT_BYTES_MAX) -> int:
    """The depth whose proof costs least, among those whose 2^depth residues fit into `kept_bytes_max`.

    At 2048 bits: 6 for t = 10^6 (64 residues, 16 KiB, 4.3 % of the squaring), 7 for 10^7 (32 KiB, 1.7 %), 8 for 3·10^7
    (64 KiB, 1 %), 10 for 10^9 (256 KiB, 0.2 %).
    """
    width = (modulus_bits + 7) // 8
    fitting = [depth for depth in range(rounds(squarings) + 1) if (width << depth) <= kept_bytes_max]
    return min(fitting or [0], key=lambda depth: proving_squarings(squarings, depth))


def kept_indices(squarings: int, depth: int) -> tuple[int, ...]:
    """Which g^(2^i) to keep: 2^depth indices i, ascending, the last of them t - 64.

    A plan holds every shallower one: what was kept for one depth serves a prover that would have chosen a lesser.
    Raises ValueError for t <= 64, where nothing is proved, and for a depth above the number of rounds.
    """
    if squarings <= LAST_SQUARINGS or not 0 <= depth <= rounds(squarings):
        raise ValueError("t is above 64, and a depth at most the number of rounds")
    exponent = squarings - LAST_SQUARINGS
    return (*_midpoint_indices(exponent, depth), exponent)


def _midpoint_indices(exponent: int, depth: int) -> list[int]:
    """Where the residues lie that make the first `depth` midpoints of a statement with this exponent, ascending.

    Round 0 needs the middle, moved by one if the base is squared first. Each later round needs the same places of both
    halves, since x' = x^r·m makes x'^(2^i) of one residue in the first half and one in the second.
    """
    if depth == 0:
        return []
    odd, half = exponent % 2, exponent // 2
    inner = _midpoint_indices(half, depth - 1)
    return [*(odd + i for i in inner), odd + half, *(odd + half + i for i in inner)]


def prove(
    statement: Statement,
    kept: Iterable[tuple[int, int]],
    square: Square = square_repeatedly,
    power: Power = gmpy2.powmod,
) -> Proof:
    """The proof of a statement, from pairs (i, g^(2^i) mod N) that hold all of some `kept_indices`; more do no harm.

    Uses the deepest plan that `kept` holds. `square` does the squarings of the last gap: a solver gives one that can be
    stopped and checks itself; `power` does the powers. Raises ValueError when z, the residue at t - 64, is missing.
    Nothing else is checked: a wrong residue makes a proof that does not hold, so verify it before you send it.
    """
    residues = {index: gmpy2.mpz(residue) for index, residue in kept}
    exponent, n = statement.exponent, gmpy2.mpz(statement.puzzle.modulus)
    if exponent < 1 or exponent not in residues:
        raise ValueError("a proof needs t above 64 and the residue at t - 64")
    depth, z = _depth_held(statement.puzzle.squarings, residues), int(representative(residues[exponent], n))
    challenges, midpoints, x = Challenges(statement, z), [], gmpy2.mpz(statement.puzzle.base)
    for _ in range(rounds(statement.puzzle.squarings)):
        odd, half = exponent % 2, exponent // 2
        if odd:
            x = x * x % n
        middle = residues[odd + half] if depth else square(int(x), half, int(n))
        midpoint = int(representative(middle, n))
        midpoints.append(midpoint)
        challenge = challenges.draw(midpoint)
        depth = max(0, depth - 1)
        residues = {
            i: power(residues[odd + i], challenge, n) * residues[odd + half + i] % n
            for i in _midpoint_indices(half, depth)
        }
        x = power(x, challenge, n) * midpoint % n
        exponent = half
    return Proof(z, tuple(midpoints))


def _depth_held(squarings: int, residues: Mapping[int, object]) -> int:
    depth = 0
    while depth < rounds(squarings) and all(i in residues for i in kept_indices(squarings, depth + 1)):
        depth += 1
    return depth
