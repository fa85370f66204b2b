"""The kernel beside GMP, and the solver's whole way on both, on the same puzzle in the same run, turn about.

"Whole" means what an assignment costs from its order to its proved answer: blocks, Gerbicz's check, a checkpoint on
disk of every state that it verifies, progress, and the proof, made and verified. Everything is measured in processor
time of this process, and of several turns the median counts: what else the machine does disturbs less.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import process_time

from gmpy2 import mpz, powmod

from vault_solver.calibration import measure, random_puzzle
from vault_solver.checkpoint import bind
from vault_solver.kernel import Arithmetic, Gmp
from vault_solver.options import DISK_MIB
from vault_solver.pipe import Line, Solve, Solved, Verified
from vault_solver.plan import Planner
from vault_solver.solving import Solving
from vault_solver.squaring import CHECK_SECONDS
from vault_solver.store import Store

SIZES = (1024, 2048, 3072, 4096)

LOOP, GMP, KERNEL, WHOLE_GMP, WHOLE = "loop", "gmpy2", "kernel", "solver on gmpy2", "solver"
"""What is measured. The loop is one powmod(x, 2, N) after the other: how it is done where nobody minds."""

LOOP_SQUARINGS_MAX = 100_000

_TASK, _SOLVER, _SERVER = "0" * 32, "1" * 32, "2" * 64
_SPEED_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Result:
    """Nanoseconds for each squaring, by what was measured; `agree` says whether all answers are one."""

    modulus_bits: int
    squarings: int
    nanoseconds: Mapping[str, float]
    agree: bool

    def times(self, quicker: str, slower: str) -> float:
        """How many times as quick."""
        return self.nanoseconds[slower] / self.nanoseconds[quicker]


def header(kernel: str) -> str:
    """The line above `row`. Every column but the first two is in nanoseconds for each squaring, or a ratio of such."""
    return (
        f"{'modulus bits':>12} {'squarings':>12} {'loop ns':>9} {'gmpy2 ns':>9} {f'{kernel} ns':>9} {'ratio':>6}"
        f" {'solver, gmpy2 ns':>17} {f'solver, {kernel} ns':>17} {'ratio':>6}"
    )


def row(result: Result) -> str:
    """One size, under `header`."""
    ns = result.nanoseconds
    return (
        f"{result.modulus_bits:>12} {result.squarings:>12,} {ns[LOOP]:>9,.1f} {ns[GMP]:>9,.1f} {ns[KERNEL]:>9,.1f}"
        f" {result.times(KERNEL, GMP):>6.2f}"
        f" {ns[WHOLE_GMP]:>17,.1f} {ns[WHOLE]:>17,.1f} {result.times(WHOLE, WHOLE_GMP):>6.2f}"
    )


def squarings_in(bits: int, seconds: float) -> int:
    """About how many GMP does in so many seconds on this machine, to two digits."""
    count = max(1, int(measure(bits, _SPEED_SECONDS, Gmp().square) * seconds))
    scale: int = 10 ** max(0, len(str(count)) - 2)
    return count // scale * scale


def compare(bits: int, squarings: int, turns: int, arithmetic: Arithmetic) -> Result:
    """One random puzzle, solved every way so many times; by the loop only its first `LOOP_SQUARINGS_MAX` squarings."""
    base, _, modulus = random_puzzle(bits, squarings)
    value, n, gmp = mpz(base), mpz(modulus), Gmp().square
    few = min(squarings, LOOP_SQUARINGS_MAX)
    ways: dict[str, tuple[int, Callable[[], int]]] = {
        LOOP: (few, lambda: _loop(value, few, n)),
        GMP: (squarings, lambda: int(gmp(value, squarings, n))),
        KERNEL: (squarings, lambda: int(arithmetic.square(value, squarings, n))),
        WHOLE_GMP: (squarings, lambda: _whole(base, squarings, modulus, Gmp())),
        WHOLE: (squarings, lambda: _whole(base, squarings, modulus, arithmetic)),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    answers = {few: {int(gmp(value, few, n))}, squarings: {int(gmp(value, squarings, n))}}
    for _ in range(turns):
        for name, (count, solve) in ways.items():
            started = process_time()
            answers[count].add(solve())
            spent[name].append((process_time() - started) * 1e9 / count)
    medians = {name: max(statistics.median(each), 1e-3) for name, each in spent.items()}
    return Result(bits, squarings, medians, all(len(each) == 1 for each in answers.values()))


def _loop(value: mpz, squarings: int, modulus: mpz) -> int:
    for _ in range(squarings):
        value = powmod(value, 2, modulus)
    return int(value)


def _whole(base: int, squarings: int, modulus: int, arithmetic: Arithmetic | Gmp) -> int:
    with tempfile.TemporaryDirectory(prefix="vault-solver-bench-") as folder:
        store = Store(Path(folder), DISK_MIB * 2**20)
        plan = Planner(_SOLVER).plan(_TASK, squarings, modulus.bit_length(), is_proved=True)
        order = Solve(1, squarings, base, modulus, plan=plan)
        bound = bind(_SERVER, _SOLVER, _TASK, order)

        def say(line: Line) -> None:
            if isinstance(line, Verified):
                store.save(bound, line.state)

        solving = Solving(order, say, lambda _: None, arithmetic.square, CHECK_SECONDS, arithmetic.power)
        ended = solving.run()
    assert isinstance(ended, Solved), "nobody has stopped it"
    return ended.answer
