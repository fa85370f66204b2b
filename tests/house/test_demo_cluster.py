"""scripts/demo --cluster opens its file although a node is killed, and leaves nothing behind however it ends."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.test_demo import DEMO, LONG, Demo, demos

__all__ = ["demos"]


def remains(demo: Demo) -> list[str]:
    """But for the empty file by which the PostgreSQL wheel's users on one machine wait for each other."""
    return [path.name for path in demo.temporary.iterdir() if path.name != ".lockfile"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Directly under the system's temporary folder: PostgreSQL runs as a user who must get through all parents."""
    with tempfile.TemporaryDirectory(prefix="vault-demo-test-") as folder:
        yield Path(folder)


def test_the_file_opens_although_the_clients_node_is_killed(open_folder: Path, demos: list[Demo]) -> None:
    demos.append(demo := Demo(open_folder, "--cluster", "--seconds", "3"))
    assert demo.process.wait(timeout=120) == 0, demo.text
    for words in (
        "solver-1 is on node-2, solver-2 is on node-3",
        "node-1, where the client is: SIGKILL",
        "the lease of node-1",
        "Connected again",
        "the opened file has the same bytes",
        "node-1: task ",
        "was first: the client is told at once, judged by: proof",
    ):
        assert words in demo.text, demo.text
    assert demo.left() == []
    assert remains(demo) == []


def test_nothing_is_left_of_it_when_it_is_interrupted(open_folder: Path, demos: list[Demo]) -> None:
    demos.append(demo := Demo(open_folder, "--cluster", "--squarings", LONG))
    demo.until("nodes  node-1")
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(timeout=30) == 130, demo.text
    assert demo.left() == []
    assert remains(demo) == []


def test_help_says_how_to_see_it() -> None:
    shown = subprocess.run([DEMO, "--help"], capture_output=True, text=True, check=True)
    assert "--cluster" in shown.stdout
    shown = subprocess.run([DEMO, "--cluster", "--help"], capture_output=True, text=True, check=True)
    assert "SIGKILL" in shown.stdout
