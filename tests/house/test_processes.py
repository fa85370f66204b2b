"""What the shared fixtures promise: nothing outlives its test, and an error in a log is noticed; a program that is
forked is like one that was started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from tests.house.tree import ROOT
from tests.preloaded import Forked, fork

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


# programs that are forked

SHOWN = """
import json, os, signal, sys
shown = {
    "argv": sys.argv, "path": sys.path[0], "environment": dict(os.environ), "folder": os.getcwd(),
    "leads": os.getsid(0) == os.getpgid(0) == os.getpid(), "input": os.read(0, 1).decode(),
    "main": (__name__, __package__, __spec__.name, sys.modules["__main__"].__dict__ is globals()),
    "descriptors": sorted(os.listdir("/proc/self/fd"))[:-1],
    "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
    "was_imported": "vault_server.__main__" in sys.modules,
}
print(json.dumps(shown))
print("an error", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""

ENDINGS = {"sys.exit(3)": 3, "raise ValueError('no')": 1, "os.kill(os.getpid(), 9)": -9, "pass": 0}

ENVIRONMENT = {"ONLY": "this", "LC_ALL": "C.UTF-8"}

needs_pidfd = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="programs are started, not forked, here")


def forked(folder: Path, text: str, *words: str) -> Forked:
    (folder / "shown.py").write_text(text)
    return fork(["shown", *words], cwd=folder, env=ENVIRONMENT, stdout=folder / "printed", stderr=folder / "errors")


@needs_pidfd
def test_a_forked_program_finds_what_a_started_one_does(tmp_path: Path) -> None:
    (tmp_path / "printed").write_text("before\n")
    program = forked(tmp_path, SHOWN, "7", "more words")
    assert program.wait(timeout=30) == program.poll() == 7
    before, printed = (tmp_path / "printed").read_text().splitlines()
    assert (before, (tmp_path / "errors").read_text()) == ("before", "an error\n")
    began = subprocess.run(
        [sys.executable, "-m", "shown", "7", "more words"], cwd=tmp_path, env=ENVIRONMENT,
        stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(printed) == json.loads(began.stdout)


@needs_pidfd
@pytest.mark.parametrize("line", ENDINGS)
def test_how_a_forked_program_ends_is_known(tmp_path: Path, line: str) -> None:
    program = forked(tmp_path, f"import os, sys\n{line}\n")
    assert program.wait(timeout=30) == ENDINGS[line]
    assert ("Traceback" in (tmp_path / "errors").read_text()) is ("raise" in line)
    assert not psutil.pid_exists(program.pid)


@needs_pidfd
def test_a_signal_reaches_a_forked_program_and_nobody_once_it_has_ended(tmp_path: Path) -> None:
    program = forked(tmp_path, "import time\ntime.sleep(600)\n")
    assert program.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(timeout=0.1)
    program.send_signal(signal.SIGKILL)
    assert program.wait(timeout=30) == -signal.SIGKILL
    program.send_signal(signal.SIGKILL)
