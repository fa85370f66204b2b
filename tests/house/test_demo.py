"""scripts/demo does what it shows, from any directory, and leaves nothing behind however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.house.tree import ROOT

DEMO = ROOT / "scripts" / "demo"
LONG = "400000000"  # squarings: minutes, on any machine


class Demo:
    """A running demo in a session of its own; TMPDIR marks everything that it starts, and its children start."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.printed = folder / "printed"
        with self.printed.open("wb") as output:
            self.process = subprocess.Popen(
                [DEMO, *arguments],
                cwd="/",
                env=os.environ | {"TMPDIR": str(self.temporary)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.printed.read_text(errors="replace")

    def until(self, words: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while words not in self.text:
            assert self.process.poll() is None, f"it ended before it said {words!r}:\n{self.text}"
            assert time.monotonic() < end, f"no {words!r} in {seconds} s:\n{self.text}"
            time.sleep(0.05)

    def left(self) -> list[psutil.Process]:
        """Its processes that are alive."""
        marked = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("TMPDIR") == str(self.temporary) and process.status() != psutil.STATUS_ZOMBIE:
                    marked.append(process)
        return marked


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[list[Demo]]:
    started: list[Demo] = []
    yield started
    for demo in started:
        for process in demo.left():
            with contextlib.suppress(psutil.Error):
                process.kill()
        demo.process.wait(timeout=10)


def test_it_opens_a_file_from_the_first_proved_answer(tmp_path: Path, demos: list[Demo]) -> None:
    demos.append(demo := Demo(tmp_path, "--squarings", "20000"))
    assert demo.process.wait(timeout=120) == 0, demo.text
    for words in (
        "the opened file has the same bytes",
        "assigned to solver-1",
        "assigned to solver-2",
        "solver-1 has taken it",
        "The answer is proved: solver ",
        " bytes, checked here in ",
        "gave the right answer: its proof holds",
        "was first: the client is told at once, judged by: proof",
        "/.venv/bin/vault-server serve",
        "/.venv/bin/vault-solver run",
        "/.venv/bin/vault-client lock",
    ):
        assert words in demo.text.replace("'", ""), demo.text  # paths with a space stand in quotes
    assert demo.left() == []
    assert list(demo.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "to_all", "after"),
    [
        pytest.param(signal.SIGINT, True, "are on it", id="ctrl-C while the solvers work"),
        pytest.param(signal.SIGINT, True, "server  ws", id="ctrl-C while the solvers start"),
        pytest.param(signal.SIGTERM, False, "are on it", id="SIGTERM"),
    ],
)
def test_nothing_is_left_when_it_is_interrupted(
    tmp_path: Path, demos: list[Demo], number: signal.Signals, to_all: bool, after: str
) -> None:
    demos.append(demo := Demo(tmp_path, "--squarings", LONG))
    demo.until(after)
    if to_all:  # as a terminal does it: to the whole foreground group
        os.killpg(demo.process.pid, number)
    else:
        demo.process.send_signal(number)
    assert demo.process.wait(timeout=30) == 130, demo.text
    assert "Interrupted" in demo.text
    assert demo.left() == []
    assert list(demo.temporary.iterdir()) == []


def test_it_fails_with_the_ends_of_the_logs_when_a_part_dies(tmp_path: Path, demos: list[Demo]) -> None:
    demos.append(demo := Demo(tmp_path, "--squarings", LONG))
    demo.until("are on it")
    client = [process for process in demo.left() if "unlock" in process.cmdline()]
    assert len(client) == 1
    client[0].kill()
    assert demo.process.wait(timeout=60) == 1, demo.text
    assert "vault-client unlock ended with exit code -9" in demo.text
    assert "task.submitted" in demo.text
    assert demo.left() == []
    assert list(demo.temporary.iterdir()) == []


@pytest.mark.parametrize(
    "words", [["--seconds", "-1"], ["--seconds", "0"], ["--squarings", "x"], ["foo"]], ids=" ".join
)
def test_wrong_words_are_refused_at_once_and_all_demos_are_named(words: list[str]) -> None:
    refused = subprocess.run([DEMO, *words], capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert words[-1] in refused.stderr
    assert "scripts/demo subnet" in refused.stderr
    assert "scripts/demo hive" in refused.stderr
