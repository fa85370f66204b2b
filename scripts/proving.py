"""What proofs cost: checking one, by t, and making one beside the bare squaring. For `scripts/bench --proofs`.

Times are processor time of one thread, so that other programs on the machine count for less; runs take turns, and least
and median are shown. Proofs for checking are made through the trapdoor.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence

import gmpy2

from protocol.proof import Proof, Statement, proof_bytes, rounds, verify
from protocol.prover import best_depth, kept_indices, prove
from protocol.puzzle import Puzzle, Trapdoor, make_modulus, square_repeatedly

CHUNK = 80_000
"""Squarings between which the bare loop looks up, about what a solver does in 80 ms at 2048 bits."""

CHECKED = tuple(10**exponent for exponent in range(4, 10))
BASE = 3


def report(proved: Iterable[int], bits: int, runs: int) -> None:
    """Print both tables."""
    modulus, trapdoor = make_modulus(bits)
    print(f"{bits} bits, {runs} runs, milliseconds of processor time\n")
    print("checking a proof        t  rounds   bytes    least  median")
    for squarings in CHECKED:
        _report_checking(_statement(squarings, modulus), trapdoor, runs)
    for squarings in proved:
        _report_making(_statement(squarings, modulus), runs)


def _statement(squarings: int, modulus: int) -> Statement:
    return Statement(Puzzle(squarings, BASE, modulus), "ab" * 16, "cd" * 16)


def _report_checking(statement: Statement, trapdoor: Trapdoor, runs: int) -> None:
    z = trapdoor.power(BASE, statement.exponent)
    proof = prove(statement, [(statement.exponent, z)], lambda base, squarings, _: trapdoor.power(base, squarings))
    times = [_milliseconds(lambda: verify(statement, proof)) for _ in range(runs)]
    squarings = statement.puzzle.squarings
    size = proof_bytes(squarings, statement.puzzle.modulus)
    print(f"{squarings:25,} {rounds(squarings):7} {size:7,} {min(times):8.2f} {statistics.median(times):7.2f}")


def _report_making(statement: Statement, runs: int) -> None:
    """Bare squaring in one call, in chunks, and with stops at the kept residues and a proof; in turns."""
    puzzle = statement.puzzle
    depth = best_depth(puzzle.squarings, puzzle.modulus.bit_length())
    ways: dict[str, Callable[[], object]] = {
        "one call of GMP": lambda: square_repeatedly(BASE, puzzle.squarings, puzzle.modulus),
        f"chunks of {CHUNK:,}": lambda: _square(puzzle, ()),
        f"with a proof, {1 << depth} kept": lambda: _square_and_prove(statement, depth),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            times[name].append(_milliseconds(way))
    print(f"\nmaking a proof, t = {puzzle.squarings:<14,}    least    median   over the first   over the second")
    first, second, *_ = (min(spent) for spent in times.values())
    for name, spent in times.items():
        print(
            f"  {name:30} {min(spent):9,.0f} {statistics.median(spent):9,.0f}"
            f" {min(spent) / first - 1:15.2%} {min(spent) / second - 1:16.2%}"
        )


def _square_and_prove(statement: Statement, depth: int) -> Proof:
    return prove(statement, _square(statement.puzzle, kept_indices(statement.puzzle.squarings, depth)))


def _square(puzzle: Puzzle, keep: Sequence[int]) -> list[tuple[int, int]]:
    """Square all the way, in chunks, and return the residues at `keep`."""
    value, done, kept = gmpy2.mpz(puzzle.base), 0, list[tuple[int, int]]()
    for stop in (*keep, puzzle.squarings):
        while done < stop:
            size = min(CHUNK, stop - done)
            value, done = gmpy2.powmod(value, gmpy2.mpz(1) << size, puzzle.modulus), done + size
        kept.append((stop, int(value)))
    return kept


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return (time.thread_time() - started) * 1000
