"""What proofs cost: checking one, by t, and making one beside the bare squaring. For `scripts/bench --proofs`.

What makes them is the solver's own worker process: blocks, kept residues, Gerbicz's check, states told to its parent,
the proof and its verification. Times are processor time, so that other programs on the machine count for less; runs
take turns, and least and median are shown. Proofs for checking are made through the trapdoor.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable

from protocol.proof import Statement, proof_bytes, rounds, verify
from protocol.prover import prove
from protocol.puzzle import Puzzle, Trapdoor, make_modulus, square_repeatedly
from vault_solver.kernel import available
from vault_solver.pipe import Erred, Line, Miscomputed, Misproved, Ready, Solve, Solved, read_line, write_line
from vault_solver.plan import Planner
from vault_solver.pool import WORKER
from vault_solver.squaring import CHECK_SECONDS

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
    """One call of GMP in this process, and workers of the solver that do everything they do; in turns."""
    puzzle = statement.puzzle
    with contextlib.ExitStack() as stack:
        ways: dict[str, Callable[[], float]] = {
            "one call of GMP": lambda: _milliseconds(
                lambda: square_repeatedly(puzzle.base, puzzle.squarings, puzzle.modulus)
            )
        }
        for kernel in reversed(available()):
            worker = stack.enter_context(Worker(kernel))
            for is_proved, what in ((False, "without a proof"), (True, "with a proof")):
                ways[f"a worker, {kernel}, {what}"] = functools.partial(
                    worker.milliseconds, statement, is_proved=is_proved
                )
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(runs):
            for name, way in ways.items():
                times[name].append(way())
    print(f"\nmaking a proof, t = {puzzle.squarings:<19,}    least    median   over one call")
    bare = min(times["one call of GMP"])
    for name, spent in times.items():
        print(f"  {name:35} {min(spent):9,.0f} {statistics.median(spent):9,.0f} {min(spent) / bare - 1:15.2%}")


class Worker:
    """One worker process of the solver, over its real pipes; measured by its own processor time."""

    def __init__(self, kernel: str) -> None:
        self._command = (*WORKER, str(CHECK_SECONDS), kernel)

    def __enter__(self) -> Worker:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._numbers = itertools.count(1)
        assert isinstance(self._hear(), Ready), "a worker says first that it is ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def milliseconds(self, statement: Statement, *, is_proved: bool) -> float:
        """Processor time from the order to the answer."""
        puzzle, bits = statement.puzzle, statement.puzzle.modulus.bit_length()
        plan = Planner(statement.solver).plan(statement.task, puzzle.squarings, bits, is_proved=is_proved)
        before = self._spent()
        self._say(Solve(next(self._numbers), puzzle.squarings, puzzle.base, puzzle.modulus, plan=plan))
        while not isinstance(solved := self._hear(), Solved):
            assert not isinstance(solved, Erred | Misproved | Miscomputed), "this machine computes wrongly"
        assert bool(solved.proof) == is_proved, "it proves what it is to prove"
        return (self._spent() - before) * 1000

    def _spent(self) -> float:
        # clock_getcpuclockid(3) of the process: nanoseconds, where /proc's times count hundredths of a second.
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def _say(self, line: Line) -> None:
        assert self._process.stdin is not None, "it was started with a pipe"
        self._process.stdin.write(write_line(line))
        self._process.stdin.flush()

    def _hear(self) -> Line:
        assert self._process.stdout is not None, "it was started with a pipe"
        return read_line(self._process.stdout.readline())


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return (time.thread_time() - started) * 1000
