"""What the shared fixtures promise: nothing outlives its test, and an error in a log is noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil

from tests.house.tree import ROOT

INNER = '''
"""A test file that is run by a pytest of its own."""
import asyncio
from pathlib import Path
from tests.processes import LoggingProcess

PROGRAM = """
import json, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(json.dumps({"event": "program.up", "level": "info", "child": child.pid}), flush=True)
LINE
time.sleep(600)
"""

class Program(LoggingProcess):
    def command(self):
        return ["-c", PROGRAM]

async def test_it(processes, tmp_path):
    program = Program("program", tmp_path)
    processes.append(program)
    program.launch()
    up = await program.event("program.up")
    Path("WHERE").write_text(f"{program.pid} {up['child']}")
    BODY
'''


def start(folder: Path, body: str, line: str = "") -> subprocess.Popen[str]:
    """A pytest with one test that starts a program, which starts another; the test's end is `body`."""
    inner = folder / "test_inner.py"
    text = INNER.replace("BODY", body).replace("LINE", line).replace("WHERE", str(folder / "pids"))
    inner.write_text(textwrap.dedent(text))
    options = ["-c", ROOT / "pyproject.toml", "--rootdir", folder, "-p", "tests.conftest", "-p", "no:cacheprovider"]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *map(str, options), str(inner)],
        cwd=ROOT, env=os.environ | {"TMPDIR": str(folder)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def left(folder: Path) -> list[int]:
    pids = list(map(int, (folder / "pids").read_text().split()))
    assert len(pids) == 2
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_a_failed_test_leaves_no_process(tmp_path: Path) -> None:
    printed, _ = start(tmp_path, "assert False, 'as it should'").communicate(timeout=60)
    assert "as it should" in printed
    assert "1 failed" in printed
    assert left(tmp_path) == []


def test_a_run_that_is_terminated_leaves_no_process(tmp_path: Path) -> None:
    run = start(tmp_path, "await asyncio.sleep(600)")
    until = time.monotonic() + 30
    while not (tmp_path / "pids").exists() or len((tmp_path / "pids").read_text().split()) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    printed, _ = run.communicate(timeout=60)
    assert "KeyboardInterrupt" in printed
    assert left(tmp_path) == []


def test_an_error_in_the_log_fails_the_test_unless_it_was_expected(tmp_path: Path) -> None:
    line = r'print(json.dumps({"event": "thing.broken", "level": "error"}), flush=True)'
    wait = 'await program.event("thing.broken")'
    printed, _ = start(tmp_path, wait, line).communicate(timeout=60)
    assert "1 passed, 1 error" in printed
    assert "program logged errors" in printed
    expected = f'{wait}; program.errors_expected.add("thing.broken")'
    printed, _ = start(tmp_path, expected, line).communicate(timeout=60)
    assert "1 passed in" in printed
