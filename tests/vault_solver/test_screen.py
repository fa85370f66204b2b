"""The live screen: what it shows, what it never shows, and the terminal it leaves behind."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from protocol.puzzle import make_modulus
from protocol.vault import PuzzleAccepted, SubmitPuzzle
from tests.dialling import dial
from tests.processes import LoggingProcess, Server, Solver
from tests.vault_solver.test_resuming import until
from vault_solver.effects import Note
from vault_solver.pipe import Erred, Misproved, Progressed, Solved
from vault_solver.screen import draw, size, span
from vault_solver.tally import RATE_SECONDS_MAX, Tally
from vault_solver.view import View, Work, resident_bytes

WORK = Work(
    assignment=41,
    task="0123456789abcdef0123456789abcdef",
    modulus_bits=2048,
    state="solving",
    share=0.6,
    squarings_a_second=1_000_000.0,
    seconds_left=3_700.0,
    deadline_seconds=90_000.0,
)
VIEW = View(
    solver="ab" * 16,
    server="vault.example:8765",
    connection="connected",
    state="ready",
    workers=2,
    capacity=4,
    work=(WORK, dataclasses.replace(WORK, assignment=42, state="waiting", share=0.0, seconds_left=None)),
    squarings_a_second=1_000_000.0,
    errors=3,
    proofs=7,
    proofs_erred=1,
    proof_bytes_max=2**20,
    checkpoints_written=12,
    checkpoint_bytes=3 * 2**20,
    checkpoint_bytes_max=2**30,
    memory_bytes=100 * 2**20,
    score=66.7,
    score_reason="valid answer",
    verdicts={"valid": 5, "released": 1},
)


def drawn(view: View, width: int = 100) -> str:
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(draw(view))
    return capture.get()


def test_everything_an_operator_asks_is_there() -> None:
    shown = drawn(VIEW)
    for fact in (
        "vault.example:8765  connected", "ready, 2 of 4, 2 workers", "1,000,000", "errors found        3",
        "12 written, 3.0 MiB of 1.0 GiB", "100.0 MiB", "66.7  valid answer", "1 released, 5 valid", "0123456789abcdef",
        "60.0 %", "1h 1m", "1d 1h", "━", "waiting", "7 made, each from 1.0 MiB at most, 1 failed",
    ):  # fmt: skip
        assert fact in shown, fact


def test_a_proof_that_is_being_made_is_shown_with_how_far_it_is() -> None:
    proving = dataclasses.replace(WORK, state="proving", share=0.3, seconds_left=None)
    shown = drawn(dataclasses.replace(VIEW, work=(proving,)))
    for fact in ("proving", "━", "30.0 %"):
        assert fact in shown, fact


def test_what_nobody_knows_yet_is_said() -> None:
    fresh = dataclasses.replace(VIEW, work=(), score=None, memory_bytes=None, verdicts={}, connection="connecting")
    shown = drawn(fresh)
    for fact in ("nothing in hand", "the server has told no change yet", "none yet", "connecting"):
        assert fact in shown, fact
    assert "memory" not in shown, "left out once the workers have ended"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, drawn(VIEW, width).splitlines())) <= width


def test_sizes_and_spans_are_for_people() -> None:
    assert [size(n) for n in (0, 1023, 1024, 1536, 2**40)] == ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "1.0 TiB"]
    assert [span(s) for s in (-5, 0, 59, 61, 3_700, 90_000)] == ["0s", "0s", "59s", "1m 1s", "1h 1m", "1d 1h"]


def test_the_tally_counts_what_it_is_told() -> None:
    tally = Tally()
    tally.reported(Progressed(1, 1_000), 10.0)
    tally.reported(Progressed(1, 3_000), 12.0)
    tally.reported(Progressed(2, 500), 12.0)
    assert (tally.squarings_a_second(1, 12.0), tally.squarings_a_second(2, 12.0)) == (1_000, 0)
    assert tally.squarings_a_second_of_all(12.0) == 1_000
    assert tally.squarings_a_second_of_all(12.1 + RATE_SECONDS_MAX) == 0
    tally.reported(Erred(1), 13.0)
    tally.reported(Progressed(1, 1_000), 13.0)
    assert tally.errors == 1
    assert tally.squarings_a_second(1, 13.0) == 0, "what is done again starts anew"
    tally.reported(Solved(2, 9), 13.0)
    tally.reported(Misproved(1), 13.0)
    tally.reported(Solved(1, 9, b"proof"), 14.0)
    assert (tally.proofs, tally.proofs_erred, tally.errors) == (1, 1, 1)
    tally.noted(Note("assignment.verdict", {"assignment": 2, "verdict": "valid"}))
    tally.noted(Note("assignment.ended", {"assignment": 1, "outcome": "released"}))
    tally.noted(Note("standing.changed", {"reputation_score": 60.0, "score_change": 10.0, "reason": "valid answer"}))
    assert (tally.verdicts, tally.score) == ({"valid": 1, "released": 1}, 60.0)


def test_memory_is_counted_where_the_system_tells() -> None:
    assert (resident_bytes([os.getpid()]) or 0) > 2**20
    assert resident_bytes([2**30]) is None


# a real terminal


class OnTerminal(Solver):
    """A solver whose standard output is a terminal of 100 columns and 40 lines."""

    def launch(self) -> None:
        self._master, self._slave = os.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.before = termios.tcgetattr(self._slave)
        self._shown = b""
        self._process = subprocess.Popen(
            [sys.executable, *map(str, self.command())], env=os.environ | {"TERM": "xterm"},
            stdin=self._slave, stdout=self._slave, stderr=self._slave, start_new_session=True,
        )  # fmt: skip
        self._group = self._process.pid
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 65_536):
                self._shown += data

    @property
    def shown(self) -> str:
        return self._shown.decode(errors="replace")

    @property
    def after(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    def close(self) -> None:
        os.close(self._slave)
        os.close(self._master)


@pytest.fixture
def terminal(server: Server, processes: list[LoggingProcess], tmp_path: Path) -> Iterator[OnTerminal]:
    solver = OnTerminal(server, tmp_path, "solver", ["--calibration", "0.02", "--grace", "0.1"])
    processes.append(solver)
    yield solver
    solver.end_group()
    solver.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_terminal_shows_the_work_and_is_clean_again_afterwards(
    server: Server, terminal: OnTerminal, number: signal.Signals
) -> None:
    modulus, _ = make_modulus(512)
    await terminal.start()
    async with await dial(server.url) as client:
        await client.ask(SubmitPuzzle(t=10**10, baseg=3, product=modulus), PuzzleAccepted)
        await until(lambda: "errors found" in terminal.shown and "512" in terminal.shown and "━" in terminal.shown)
        await until(lambda: " %" in terminal.shown and "connected" in terminal.shown)
        assert "assignment.offered" in terminal.shown, "log lines pass above it"
        assert "\x1b[?25l" in terminal.shown, "the cursor is hidden meanwhile"
        os.killpg(terminal.pid, number)
        assert await terminal.wait() == 0
    await until(lambda: "solver.stopped" in terminal.shown)
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l"), "the cursor is back"
    assert terminal.after == terminal.before
    assert "Traceback" not in terminal.shown
    assert str(modulus) not in terminal.shown
    assert str(10**10) not in terminal.shown.replace(",", "")


async def test_log_alone_moves_no_cursor(server: Server, terminal: OnTerminal) -> None:
    terminal.arguments = (*terminal.arguments, "--log", "--log-format", "json")
    await terminal.start()
    await until(lambda: "solver.ready" in terminal.shown)
    assert await terminal.terminate() == 0
    await until(lambda: "solver.stopped" in terminal.shown)
    assert "solver.summary" in terminal.shown
    assert "\x1b" not in terminal.shown
