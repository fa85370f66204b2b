"""Programs of ours, forked from a process that has imported them already: imports are most of what their start costs.

What is forked is the program itself: a session, an environment, a folder and files of its own, and its `__main__` is
run as `python -m` runs it. Demos, the wheel, benches and the tests of the command line start theirs anew.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import itertools
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PROGRAMS = ("vault_server", "vault_solver")
MESSAGE_BYTES_MAX = 2**20
LOOK_SECONDS = 0.005


class Forked:
    """A program that was forked; what is used of `subprocess.Popen` here."""

    def __init__(self, source: Source, number: int, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._source, self._number = source, number

    def poll(self) -> int | None:
        """Its exit code, minus the signal that ended it, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._source.exit_code(self._number)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait until it has ended. Raises subprocess.TimeoutExpired."""
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(LOOK_SECONDS)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """To a process that has ended nothing is sent: its number may be another's."""
        if self.poll() is None:
            os.kill(self.pid, number)


def fork(words: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: Path, stderr: Path) -> Forked:
    """`python -m words…` in a session of its own, without input, its output appended to files."""
    if not _sources:
        _sources.append(Source())
        atexit.register(_sources[0].close)
    files = {"cwd": str(cwd), "stdout": str(stdout), "stderr": str(stderr)}
    return _sources[0].fork({"words": list(words), "env": dict(env), **files})


class Source:
    """The process that has imported the programs, as the tests see it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: dict[int, int] = {}
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def fork(self, order: Mapping[str, Any]) -> Forked:
        """One more program."""
        with self._lock:
            self._socket.send(json.dumps(order).encode())
            while (started := self._read()) is None:
                pass
        return Forked(self, *started)

    def exit_code(self, number: int) -> int | None:
        """What a program ended with, or None. The number is its own: that of its process will be another's."""
        with self._lock:
            while select.select([self._socket], [], [], 0)[0]:
                assert self._read() is None, "nothing is started without an order"
            return self._ended.get(number)

    def close(self) -> None:
        """End it; the programs go on."""
        self._socket.close()
        self._process.wait(timeout=10)

    def _read(self) -> tuple[int, int] | None:
        """One message: a program was started, its number and that of its process; or one has ended: written down."""
        raw = self._socket.recv(MESSAGE_BYTES_MAX)
        assert raw, "the process that forks the others is gone"
        number, pid, code = json.loads(raw)
        if code is None:
            return number, pid
        self._ended[number] = code
        return None


_sources: list[Source] = []


# in the process that forks


def preload() -> None:
    """Import the programs, and let each `__main__` be run as if it never had been."""
    for program in PROGRAMS:
        __import__(f"{program}.__main__")
        del sys.modules[f"{program}.__main__"]
    assert threading.active_count() == 1, "a thread does not survive a fork"
    gc.collect()
    gc.freeze()  # collections in a forked process would copy all of it


def fork_to_order(orders: socket.socket) -> dict[str, Any] | None:
    """Fork a process for each order, and tell how it ended, until nobody can order any more: None.

    In a process that was forked: its order.
    """
    running: dict[int, tuple[int, int]] = {}
    numbers = itertools.count(1)
    while True:
        for ready in select.select([orders.fileno(), *running], [], [])[0]:
            if ready in running:
                number, pid = running.pop(ready)
                os.close(ready)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                orders.send(json.dumps((number, pid, code)).encode())
            elif raw := orders.recv(MESSAGE_BYTES_MAX):
                leads, not_yet = os.pipe()
                pid = os.fork()
                if pid == 0:
                    os.setsid()
                    for descriptor in (leads, not_yet, *running):
                        os.close(descriptor)
                    order: dict[str, Any] = json.loads(raw)
                    return order
                os.close(not_yet)
                os.read(leads, 1)  # until it is closed there: from then on it can be ended with its group
                os.close(leads)
                number = next(numbers)
                running[os.pidfd_open(pid)] = number, pid
                orders.send(json.dumps((number, pid, None)).encode())
            else:
                return None


def become(order: dict[str, Any]) -> None:
    """Be the process that was asked for."""
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    for descriptor, name in ((1, order["stdout"]), (2, order["stderr"])):
        opened = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = order["words"]
    sys.path[0] = order["cwd"]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    preload()
    order = None
    with socket.socket(fileno=int(sys.argv[1])) as orders, contextlib.suppress(BrokenPipeError):
        order = fork_to_order(orders)
    if order is not None:
        become(order)
