"""One worker process as the server sees it: started, given one thing at a time to compute, watched, ended.

It gets no secret but what is to be computed: no environment of the server's, no arguments, no descriptors.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from vault_server.dispatch.worker import HEADER_BYTES, IDLE_PRIORITY

# -P: nothing is imported from the folder one happens to stand in.
WORKER = (sys.executable, "-P", "-m", "vault_server.dispatch.worker")
ENVIRONMENT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")
"""All that an interpreter may need to start. The server's own environment may hold its master key."""

STARVED_SECONDS = 1.0
"""Of work under way after which it is seen what share of that a processor was given to it."""
STARVED_SHARE = 0.5
REAP_SECONDS_MAX = 2.0


class WorkerGone(Exception):
    """The process has ended by itself, in the middle of what it was computing. The message says how."""


class WorkerUnstartable(Exception):
    """There is no such process, or it ended before it took anything."""


class Uncomputable(Exception):
    """The computation raised an exception over there; the message is its traceback."""


class Seat(asyncio.Protocol):
    """`gone` is called once, when the process has ended; `not_idle` with the reason, when it could not have the
    priority that it was to have."""

    def __init__(self, gone: Callable[[Seat], None], not_idle: Callable[[str], None]) -> None:
        self._gone, self._not_idle = gone, not_idle
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self._arrived = bytearray()
        self._answer: asyncio.Future[Any] | None = None
        self._is_ready = False
        self.was_ended = False
        self._since = 0.0
        self._busy_seconds, self._used_before = 0.0, 0.0
        self.reaped: asyncio.Task[None] | None = None
        self.resting: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None, "start() comes first"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Of the process, negative for a signal; None as long as it runs."""
        assert self._process is not None, "start() comes first"
        return self._process.poll()

    @property
    def is_open(self) -> bool:
        """Whether the process is there, as far as is known."""
        return self.reaped is None and not self.was_ended

    async def start(self, *, is_idle: bool) -> None:
        """Begin a process; what it is given meanwhile waits in the socket. Raises WorkerUnstartable.

        From the loop's own thread: on Linux the process ends with the thread that began it.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [*WORKER, *([IDLE_PRIORITY] if is_idle else [])],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
                )
        except OSError as error:
            ours.close()
            raise WorkerUnstartable(f"no worker process can be started: {error}") from None
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            self._process.kill()
            self._process.wait()
            raise

    def give(self, order: bytes) -> asyncio.Future[Any]:
        """Have it compute this frame; the result, or WorkerGone, WorkerUnstartable, Uncomputable."""
        assert self._answer is None, "one thing at a time"
        self._since = time.monotonic()
        answer = self._answer = asyncio.get_running_loop().create_future()
        if self.is_open:
            assert self._transport is not None, "start() comes first"
            self._transport.write(order)
        else:
            self._fail()
        return answer

    def is_starved(self) -> bool | None:
        """Whether others have left it less than half of the time in which it had work; None: too early to say."""
        under_way = time.monotonic() - self._since if self._answer is not None else 0.0
        busy_seconds = self._busy_seconds + under_way
        if busy_seconds < STARVED_SECONDS:
            return None
        used = _used_seconds(self.pid)
        share = 1.0 if used is None else (used - self._used_before) / busy_seconds
        self._busy_seconds, self._used_before = -under_way, used or 0.0
        return share < STARVED_SHARE

    def end(self) -> None:
        """No more of it. What it computes is lost."""
        self.was_ended = True
        if self._process is not None:
            self._process.kill()
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is none of asyncio's

    def data_received(self, data: bytes) -> None:
        """A part of an answer."""
        self._arrived += data
        size = HEADER_BYTES + int.from_bytes(self._arrived[:HEADER_BYTES], "big")
        while len(self._arrived) >= max(size, HEADER_BYTES + 1):
            value = pickle.loads(self._arrived[HEADER_BYTES:size])
            del self._arrived[:size]
            self._take_in(value)
            size = HEADER_BYTES + int.from_bytes(self._arrived[:HEADER_BYTES], "big")

    def connection_lost(self, _error: Exception | None) -> None:
        """The process has ended, or is about to."""
        assert self._process is not None
        self._process.kill()
        self.reaped = asyncio.get_running_loop().create_task(self._reap(self._process))

    def _take_in(self, value: Any) -> None:
        if not self._is_ready:
            self._is_ready = True
            if value:
                self._not_idle(value)
            return
        answer, self._answer = self._answer, None
        self._busy_seconds += time.monotonic() - self._since
        if answer is None or answer.cancelled():
            return
        is_done, result = value
        if is_done:
            answer.set_result(result)
        else:
            answer.set_exception(Uncomputable(result))

    async def _reap(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, REAP_SECONDS_MAX)
        self._fail()
        self._gone(self)

    def _fail(self) -> None:
        answer, self._answer = self._answer, None
        if answer is None or answer.done():
            return
        if self._is_ready:
            answer.set_exception(WorkerGone(f"worker process {self.pid} ended with exit code {self.exit_code}"))
        else:
            reason = f"a worker process ended at its start, with exit code {self.exit_code}"
            answer.set_exception(WorkerUnstartable(reason))


def _used_seconds(pid: int) -> float | None:
    """The processor time that a process has been given; None where nobody says."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
