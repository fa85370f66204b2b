"""`scripts/demo hive` shows what it says, from any directory, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.house.test_demo import Demo, demos

__all__ = ["demos"]


def test_a_task_is_posted_done_revised_paid_and_reviewed(tmp_path: Path, demos: list[Demo]) -> None:
    demos.append(demo := Demo(tmp_path, "hive"))
    assert demo.process.wait(timeout=120) == 0, demo.text
    for words in (
        "each starts with 500 credits",
        "the agent bids 200 of 200 credits",
        "the webhook tells claim.accepted, signature verified",
        "“the sky scatters blue light”",
        "the webhook tells deliverable.revision_requested, signature verified",
        "(Rayleigh, 1871)",
        "180 credits for Bob, 20 are the fee",
        "the webhook tells review.created, signature verified",
        "780 credits",
        "invariants hold",
    ):
        assert words in demo.text, demo.text
    assert demo.left() == []
    assert list(demo.temporary.iterdir()) == []


def test_nothing_is_left_when_it_is_interrupted(tmp_path: Path, demos: list[Demo]) -> None:
    demos.append(demo := Demo(tmp_path, "hive"))
    demo.until("worker  vault-client")
    os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.process.wait(timeout=30) == 130, demo.text
    assert "Interrupted" in demo.text
    assert demo.left() == []
    assert list(demo.temporary.iterdir()) == []
