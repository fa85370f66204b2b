"""One worker process, spoken to over its pipes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO

import pytest

from protocol.puzzle import make_modulus
from vault_solver.pipe import Cancel, Dropped, Line, Progressed, Ready, Solve, Solved, read_line, write_line

MODULUS, TRAPDOOR = make_modulus(512)
ENDLESS = 1 << 50


class Worker:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vault_solver.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def say(self, *lines: Line) -> None:
        self._pipe(self.process.stdin).write(b"".join(map(write_line, lines)))
        self._pipe(self.process.stdin).flush()

    def hear(self) -> Line:
        return read_line(self._pipe(self.process.stdout).readline())

    def hang_up(self) -> int:
        self._pipe(self.process.stdin).close()
        return self.process.wait(30)

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


@pytest.fixture
def worker() -> Iterator[Worker]:
    started = Worker()
    assert started.hear() == Ready()
    yield started
    started.process.kill()
    with started.process:
        pass


@pytest.mark.parametrize("squarings", [1, 2047, 2048, 2049, 200_000])
def test_it_solves(worker: Worker, squarings: int) -> None:
    worker.say(Solve(7, squarings, 3, MODULUS))
    assert worker.hear() == Solved(7, TRAPDOOR.power(3, squarings))


def test_a_short_puzzle_is_answered_at_once(worker: Worker) -> None:
    fastest = 1.0
    for number in range(20):
        started = time.perf_counter()
        worker.say(Solve(number, 100, 3, MODULUS))
        assert worker.hear() == Solved(number, TRAPDOOR.power(3, 100))
        fastest = min(fastest, time.perf_counter() - started)
    assert fastest < 0.01


def test_it_reports_progress_once_a_second_and_stops_when_cancelled(worker: Worker) -> None:
    started = time.monotonic()
    worker.say(Solve(1, ENDLESS, 3, MODULUS))
    first = worker.hear()
    assert isinstance(first, Progressed)
    assert first.assignment == 1
    assert first.done > 0
    assert time.monotonic() - started >= 1.0
    worker.say(Cancel(1))
    cancelled = time.monotonic()
    assert worker.hear() == Dropped(1)
    assert time.monotonic() - cancelled < 10
    worker.say(Solve(2, 5, 3, MODULUS))
    assert worker.hear() == Solved(2, TRAPDOOR.power(3, 5))


def test_a_cancel_that_comes_too_late_does_no_harm(worker: Worker) -> None:
    worker.say(Solve(1, 5, 3, MODULUS))
    assert isinstance(worker.hear(), Solved)
    worker.say(Cancel(1), Solve(2, 5, 3, MODULUS))
    assert worker.hear() == Solved(2, TRAPDOOR.power(3, 5))


def test_orders_may_arrive_in_pieces(worker: Worker) -> None:
    raw = write_line(Solve(9, 5, 3, MODULUS))
    for piece in (raw[:3], raw[3:20], raw[20:]):
        Worker._pipe(worker.process.stdin).write(piece)
        Worker._pipe(worker.process.stdin).flush()
        time.sleep(0.02)
    assert worker.hear() == Solved(9, TRAPDOOR.power(3, 5))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_the_group_are_the_parents_business(worker: Worker, number: signal.Signals) -> None:
    worker.process.send_signal(number)
    worker.say(Solve(1, 5, 3, MODULUS))
    assert worker.hear() == Solved(1, TRAPDOOR.power(3, 5))


def test_it_ends_with_its_parent_while_waiting(worker: Worker) -> None:
    assert worker.hang_up() == 0


def test_it_ends_with_its_parent_while_squaring(worker: Worker) -> None:
    worker.say(Solve(1, ENDLESS, 3, MODULUS))
    time.sleep(0.1)
    assert worker.hang_up() == 0
