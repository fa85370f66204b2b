"""`scripts/demo subnet` shows what it says, from any directory, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, str(ROOT / "scripts" / "demo_subnet.py")]


def left(folder: Path) -> list[psutil.Process]:
    """Processes that were started with this temporary folder and are alive."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def started(tmp_path: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    return subprocess.Popen(
        DEMO, cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def test_it_tells_the_whole_story(started: subprocess.Popen[str], tmp_path: Path) -> None:
    said, _ = started.communicate(timeout=120)
    assert started.returncode == 0, said
    for words in (
        "task        1, for miner-1",
        "helper's answer:",
        "generator_votes, by contributor",
        "-0.400000  discriminator_chose_negative",
        "nobody answered, and that costs miner-2",
        "miner-1     50.400000 = 50 +0.400000   (generator)",
        "validator   50.000000 = 50   (validator)",
        "invariants hold",
    ):
        assert words in said, said
    assert left(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_it_is_interrupted(started: subprocess.Popen[str], tmp_path: Path) -> None:
    assert started.stdout is not None
    while "workers" not in started.stdout.readline():
        assert started.poll() is None
    os.killpg(started.pid, signal.SIGINT)
    said, _ = started.communicate(timeout=60)
    assert started.returncode == 130, said
    assert "Interrupted" in said
    assert left(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_the_script_leads_there() -> None:
    assert "demo_subnet.py" in (ROOT / "scripts" / "demo").read_text()
