"""The writer as a process of its own: the same contract, what crosses, and what becomes of it when one of them ends."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.errors import Code
from tests.processes import environment
from vault_server.core.operation import Refusal
from vault_server.storage.database import StorageError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("story", ["batches", "flushed", "killed", "unused", "unstarted"])
def test_another_process_writes(story: str, tmp_path: Path) -> None:
    ended = _tell(story, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_disk_that_fails_ends_it(tmp_path: Path) -> None:
    ended = _tell("disk_failed", tmp_path)
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (0, "OSError: [Errno 5] Input/output error")


def _tell(story: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.vault_server.storage.forked", story, folder],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_refusals_and_storage_errors_cross_whole() -> None:
    refusal = Refusal(Code.BANNED, "You are banned.", "Wait.", retry_after_ms=1234)
    error = StorageError("the disk is full", full=True, in_doubt=True)
    for sent in (refusal, error):
        got = pickle.loads(pickle.dumps(sent))
        assert type(got) is type(sent)
        assert str(got) == str(sent)
        assert vars(got) == vars(sent)
