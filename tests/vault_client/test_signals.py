"""How a command ends: SIGTERM as ctrl-C does, also when a shell has started it in the background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.puzzle import make_locked
from vault_client.locked_file import lock_file

INTERRUPTED = 130


@pytest.mark.parametrize("ignores_interrupts", [False, True])
def test_sigterm_ends_a_command_whoever_started_it(tmp_path: Path, ignores_interrupts: bool) -> None:
    (tmp_path / "letter").write_text("shut")
    puzzle, answer, _ = make_locked(10**9, 512)
    lock_file(tmp_path / "letter", tmp_path / "letter.locked", puzzle, answer)
    (tmp_path / "letter.locked.resume").write_text("a task that an earlier unlock has begun at a server")
    command = [sys.executable, "-m", "vault_client", "unlock", "letter.locked", "--local", "--out", "opened"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignores_interrupts else None,
    )
    try:
        assert process.stderr is not None
        assert b"Squaring 1,000,000,000 times" in process.stderr.readline(), "it squares for minutes"
        process.terminate()
        _, said = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == INTERRUPTED
    assert b"Nothing was written" in said
    assert b"goes on" not in said, "--local starts over, whatever waits at a server"
    assert not (tmp_path / "opened").exists()


def test_the_opened_file_may_not_replace_the_locked_one(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("shut")
    puzzle, answer, _ = make_locked(10, 512)
    lock_file(tmp_path / "letter", tmp_path / "letter.locked", puzzle, answer)
    before = (tmp_path / "letter.locked").read_bytes()
    command = [sys.executable, "-m", "vault_client", "unlock", "letter.locked", "--local", "--force"]
    done = subprocess.run(
        [*command, "--out", "letter.locked"], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert "would replace the locked one" in done.stderr
    assert (tmp_path / "letter.locked").read_bytes() == before
