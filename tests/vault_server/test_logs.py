"""The log: a reader that pauses holds up nobody, what is dropped is counted, and no traceback shows values."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from protocol.session import Ping, Pong
from tests.dialling import dial
from tests.processes import environment
from vault_server.logs import LineWriter

Pipe = tuple[int, int]


@pytest.fixture
def full_pipe() -> Iterator[Pipe]:
    """A pipe that nobody reads and that takes not one byte more; (read end, write end)."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    yield reading, writing
    for end in (reading, writing):
        os.close(end)


def empty(pipe: Pipe, writer: LineWriter) -> list[bytes]:
    """Read until everything is written; the lines behind what filled the pipe."""
    os.set_blocking(pipe[0], False)
    read, until = b"", time.monotonic() + 10
    while time.monotonic() < until:
        with suppress(BlockingIOError):
            read += os.read(pipe[0], 65_536)
            continue
        if writer._idle.wait(0.05):
            break
    with suppress(BlockingIOError):
        read += os.read(pipe[0], 65_536)
    return read.lstrip(b"x").splitlines()


def test_a_paused_reader_holds_up_nobody_and_what_was_dropped_is_counted(full_pipe: Pipe) -> None:
    dropped: list[int] = []
    writer = LineWriter(FileIO(full_pipe[1], "wb", closefd=False), dropped.append, waiting_bytes_max=1000)
    started = time.monotonic()
    for number in range(200):
        writer.msg(b"line %04d" % number)
    writer.flush(0.1)
    assert time.monotonic() - started < 2
    lines = empty(full_pipe, writer)
    assert lines == [b"line %04d" % number for number in range(len(lines))]
    assert 50 < len(lines) <= 100
    assert dropped == [200 - len(lines)]
    assert writer.dropped_total == 200 - len(lines)
    writer.msg("later")
    writer.flush(10)
    assert os.read(full_pipe[0], 100) == b"later\n"


def test_of_lines_taken_in_one_go_those_that_find_no_room_are_dropped_and_counted(full_pipe: Pipe) -> None:
    dropped: list[int] = []
    writer = LineWriter(FileIO(full_pipe[1], "wb", closefd=False), dropped.append, waiting_bytes_max=100)
    writer.take([b"line %04d" % number for number in range(20)])
    assert empty(full_pipe, writer) == [b"line %04d" % number for number in range(10)]
    assert dropped == [10]


def test_a_log_whose_reader_is_gone_stops_no_work() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LineWriter(FileIO(writing, "wb"), print)
    for _ in range(3):
        writer.msg(b"nobody reads this")
        writer.flush(10)
        assert writer._idle.is_set()


async def test_a_server_whose_log_nobody_reads_serves_and_stops(full_pipe: Pipe, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vault_server", "serve", "--database", str(tmp_path / "vault.db"), "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=full_pipe[1], stderr=asyncio.subprocess.PIPE, env=environment()
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(20):
            shown = (await process.stderr.readuntil(b"pin the key")).decode()
        [url] = re.findall(r"connect to (ws://\S+)", shown)
        peer = await dial(url)
        await peer.ask(Ping(), Pong, seconds=5)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            assert await process.wait() == 0
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


STUMBLE = """
import structlog
from vault_server import logs
logs.configure("pretty", "here")
def judge():
    answer = "31415" + "92653"
    raise ZeroDivisionError("no digits here")
try:
    judge()
except ZeroDivisionError:
    structlog.get_logger().exception("job.failed")
"""


def test_a_traceback_on_a_terminal_shows_no_values() -> None:
    shown = subprocess.run([sys.executable, "-c", STUMBLE], capture_output=True, timeout=30, check=True).stdout
    assert b"ZeroDivisionError" in shown
    assert b"job.failed" in shown
    assert b"3141592653" not in shown


MANY = """
import structlog
from vault_server import logs
logs.configure("json", "here")
fields = {"task": "ab", "assignment": 7}
structlog.get_logger().info("assignment.accepted", **fields)
logs.write_events([("assignment.accepted", fields)] * 2)
"""


def test_events_of_a_batch_are_logged_as_one_by_one() -> None:
    shown = subprocess.run([sys.executable, "-c", MANY], capture_output=True, timeout=30, check=True).stdout
    alone, *together = [json.loads(line) for line in shown.splitlines()]
    assert alone.pop("timestamp") <= min(line.pop("timestamp") for line in together)
    assert alone == {"event": "assignment.accepted", "task": "ab", "assignment": 7, "level": "info", "node": "here"}
    assert together == [alone, alone]


class FullInTheMiddle(io.RawIOBase):
    """A file whose disk is full after `room` bytes, until `room` is raised."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.written = b""

    def write(self, data: Any) -> int:
        part = bytes(data)[: self.room - len(self.written)]
        if not part:
            raise OSError(errno.ENOSPC, "no space")
        self.written += part
        return len(part)


def test_a_line_cut_by_a_full_disk_does_not_grow_into_the_next() -> None:
    file = FullInTheMiddle(room=10)
    lines = LineWriter(file, lambda _: None)
    lines.msg(b"whole")
    lines.flush()
    lines.msg(b"cut in the middle")
    lines.flush()
    file.room = 1000
    lines.msg(b"whole again")
    lines.flush()
    assert file.written == b"whole\ncut \nwhole again\n"
