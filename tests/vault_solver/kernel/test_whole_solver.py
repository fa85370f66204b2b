"""The solver on each kernel: the same answers and proofs; it says at start which one computes, and why not another."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gmpy2 import mpz

from protocol.puzzle import make_modulus
from tests.processes import environment
from vault_solver import kernel
from vault_solver.pipe import Cancel, Dropped, Line, Progressed, Ready, Solve, Solved, read_line, write_line
from vault_solver.plan import Planner
from vault_solver.pool import WORKER
from vault_solver.solving import Solving, Stopped
from vault_solver.squaring import gmp_square
from vault_solver.worker import Looking

SQUARINGS = 130_000
SECONDS_MAX = 60
N, TRAPDOOR = make_modulus(1024)
ORDER = Solve(
    1, SQUARINGS, 3, N, plan=Planner("1" * 32).plan("0" * 32, SQUARINGS, N.bit_length(), is_proved=True)
)  # fmt: skip


def solved_with(name: str) -> Solved:
    arithmetic = kernel.choose(name).arithmetic
    said: list[Line] = []
    ended = Solving(ORDER, said.append, lambda _: None, arithmetic.square, 0.01, arithmetic.power).run()
    assert isinstance(ended, Solved)
    return ended


def test_answer_and_proof_are_the_same_on_every_kernel() -> None:
    results = [solved_with(name) for name in kernel.available()]
    assert results[0].answer == TRAPDOOR.power(3, SQUARINGS)
    assert results[0].proof
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("name", kernel.CHOICES)
def test_a_worker_computes_with_the_kernel_that_it_is_given(name: str) -> None:
    if name not in (kernel.AUTO, *kernel.available()):
        pytest.skip(f"NOT TESTED: there is no kernel {name} here")
    with subprocess.Popen([*WORKER, "30", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin
        assert worker.stdout
        worker.stdin.write(write_line(ORDER))
        worker.stdin.flush()
        reports = (read_line(line) for line in worker.stdout)
        assert isinstance(next(reports), Ready)
        solved = next(report for report in reports if isinstance(report, Solved))
    assert solved.answer == TRAPDOOR.power(3, SQUARINGS)


def test_a_block_is_looked_up_from_every_few_milliseconds_and_can_be_left_there() -> None:
    n, looks = mpz(2**2048 - 9), 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 5:
            raise Stopped

    looking = Looking(gmp_square, 100, look)
    assert looking(mpz(3), 250, n) == gmp_square(mpz(3), 250, n)
    assert looks == 2
    assert looking(mpz(3), 100, n) == gmp_square(mpz(3), 100, n)
    assert looks == 2
    assert looking(mpz(3), 401, mpz(2**1024 - 105)) == gmp_square(mpz(3), 401, mpz(2**1024 - 105))
    assert looks == 3, "half the length, four times as many squarings"
    with pytest.raises(Stopped):
        looking(mpz(3), 10**9, n)


@pytest.mark.parametrize("name", kernel.available())
def test_a_cancelled_worker_is_free_for_the_next_order(name: str) -> None:
    endless = Solve(7, 1 << 50, 3, make_modulus(2048)[0])
    with subprocess.Popen([*WORKER, "30", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin
        assert worker.stdout
        reports = (read_line(line) for line in worker.stdout)
        assert isinstance(next(reports), Ready)
        worker.stdin.write(write_line(endless))
        worker.stdin.flush()
        assert isinstance(next(reports), Progressed)
        worker.stdin.write(write_line(Cancel(7)) + write_line(ORDER))
        worker.stdin.flush()
        ended = [next(report for report in reports if isinstance(report, Dropped | Solved)) for _ in range(2)]
    assert ended[0] == Dropped(7)
    assert isinstance(ended[1], Solved)
    assert ended[1].answer == TRAPDOOR.power(3, SQUARINGS)


def started(folder: Path, *arguments: str) -> dict[str, object]:
    """What `vault-solver run` says of itself when it starts."""
    command = [sys.executable, "-m", "vault_solver", "run", "--server", "ws://127.0.0.1:1", "--calibration", "0.01"]
    solver = subprocess.Popen(
        [*command, "--workers", "1", "--key", str(folder / "key"), "--grace", "0", *arguments],
        env=environment() | {"HOME": str(folder)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert solver.stdout
        for line in solver.stdout:
            event: dict[str, object] = json.loads(line)
            if event["event"] == "solver.started":
                return event
        raise AssertionError("it never started")
    finally:
        solver.send_signal(signal.SIGTERM)
        solver.communicate(timeout=SECONDS_MAX)


def test_the_solver_says_which_kernel_it_computes_with(tmp_path: Path) -> None:
    by_itself = kernel.choose()
    event = started(tmp_path)
    assert (event["kernel"], event["not_used"]) == (by_itself.name, dict(by_itself.absent))
    event = started(tmp_path, "--kernel", "gmpy2")
    assert (event["kernel"], event["not_used"]) == ("gmpy2", {})
