"""The commands beside a running server: they ask it, order it, and follow it."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

import pytest

from tests.conftest import StartSolver
from tests.processes import Server, environment
from tests.vault_server.operator.conftest import Operate

KEY = "ab" * 16
ENTER_SCREEN, LEAVE_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


async def test_one_look_at_everything(server: Server, start_solver: StartSolver, operate: Operate) -> None:
    solver = await start_solver(server)
    await server.event("solver.status", solver=solver.fingerprint)
    database = ("--database", server.database)
    seen = json.loads(operate("top", "--json", *database).stdout)
    assert (seen["port"], seen["connections"]["solver"]) == (server.port, 1)
    assert seen["counts"]["tasks"]["waiting"] == 0
    assert [row["solver"] for row in seen["solvers"]] == [solver.fingerprint]
    text = operate("top", *database).stdout
    assert solver.fingerprint in text
    assert max(map(len, text.splitlines())) <= 80
    assert solver.fingerprint in operate("solvers", "--online", *database).stdout
    assert operate("check", *database).exit_code == 0
    assert operate("explain", "00", *database).exit_code == 1


async def test_a_key_is_banned_and_let_in_again(server: Server, operate: Operate) -> None:
    database = ("--database", server.database)
    assert "Nobody is banned." in operate("bans", *database).stdout
    banned = operate("ban", KEY, "--for", "2h", "--reason", "floods us", *database)
    assert banned.exit_code == 0, banned.output
    assert f"{KEY} is kept out until " in banned.stdout
    assert "floods us" in operate("bans", *database).stdout
    [row] = json.loads(operate("bans", "--json", *database).stdout)
    assert row["until"] - row["created"] == 2 * 3_600_000
    assert "may connect again" in operate("unban", KEY, *database).stdout
    assert "was not banned" in operate("unban", KEY, *database).stdout
    assert "lifted" in operate("bans", KEY, *database).stdout
    refused = operate("ban", "abc", *database)
    assert refused.exit_code == 1
    assert "32 lower-case hex digits" in refused.stderr
    await server.terminate()
    assert KEY in operate("bans", KEY, *database).stdout


async def test_the_master_key_is_rotated_while_serving(server: Server, operate: Operate) -> None:
    database = ("--database", server.database)
    assert operate("keys", "status", *database).stdout == "Master key 1 seals everything\n"
    rotated = operate("keys", "rotate", "--wait", *database)
    assert rotated.exit_code == 0, rotated.output
    assert rotated.stdout == "Master key 2 seals everything\n"
    assert json.loads(operate("keys", "status", "--json", *database).stdout)["version"] == 2
    assert operate("check", *database).exit_code == 0


# tail


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`vault-server` in a process of its own, killed at the end."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-m", "vault_server", *arguments],
        env=environment(), stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            with suppress(BrokenPipeError):
                assert process.stdin is not None
                process.stdin.close()


def shown_by(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def said_by(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.read()


async def test_tail_follows_until_it_is_interrupted(server: Server, operate: Operate) -> None:
    with running("tail", "--event", "key.*", "--database", str(server.database)) as tail:
        until_banned(server, operate, tail)
        tail.send_signal(signal.SIGINT)
        assert tail.wait(10) == 0
        assert said_by(tail) == ""


def until_banned(server: Server, operate: Operate, tail: subprocess.Popen[str]) -> None:
    """Ban a key, again and again, until the tail that is starting has told of it."""
    until = time.monotonic() + 20
    while not select.select([shown_by(tail)], [], [], 0.2)[0]:
        assert time.monotonic() < until
        operate("ban", KEY, "--database", server.database)
    line = json.loads(shown_by(tail).readline())
    assert (line["event"], line["fingerprint"]) == ("key.banned", KEY)


async def test_tail_ends_with_its_server_and_says_so(server: Server) -> None:
    with running("tail", "--database", str(server.database)) as tail:
        assert json.loads(shown_by(tail).readline())["event"] == "server.ready"
        await server.terminate()
        assert tail.wait(10) == 0
        assert [json.loads(line)["event"] for line in shown_by(tail)] == ["server.draining"]
        assert said_by(tail) == "vault-server: the server has stopped\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    line = json.dumps({"event": "x.y", "level": "info"})
    with running("tail", "-") as tail:
        assert tail.stdin is not None
        tail.stdin.write(f"{line}\n")
        assert shown_by(tail).readline() == f"{line}\n"
        shown_by(tail).close()
        with suppress(BrokenPipeError):
            for _ in range(1_000):
                tail.stdin.write(f"{line}\n")
        assert tail.wait(10) == 0
        assert said_by(tail) == ""


# top on a terminal


class Terminal:
    """A terminal of 80 by 24 with one program on it."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.shown = b""
        self._end, inner = pty.openpty()
        termios.tcsetwinsize(inner, (24, 80))
        self.before = termios.tcgetattr(inner)
        self._inner = inner
        self.program = subprocess.Popen(
            arguments, env=environment() | {"TERM": "xterm-256color"}, stdin=inner, stdout=inner, stderr=inner,
            start_new_session=True, preexec_fn=lambda: os.set_inheritable(inner, True),
        )  # fmt: skip

    def until(self, text: bytes, seconds: float = 20) -> None:
        """Read until it was shown."""
        until = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < until, self.shown
            if select.select([self._end], [], [], 0.1)[0]:
                self.shown += os.read(self._end, 65_536)

    def press(self, key: bytes) -> None:
        os.write(self._end, key)

    def state(self) -> list[object]:
        return termios.tcgetattr(self._inner)

    def close(self) -> None:
        self.program.kill()
        self.program.wait()
        os.close(self._end)
        os.close(self._inner)


@contextmanager
def terminal(arguments: Sequence[str]) -> Iterator[Terminal]:
    shown = Terminal(arguments)
    try:
        yield shown
    finally:
        shown.close()


@pytest.mark.parametrize("way", ["q", "SIGINT", "SIGTERM"])
async def test_top_leaves_the_terminal_as_it_was(server: Server, way: str) -> None:
    with terminal([sys.executable, "-m", "vault_server", "top", "--database", str(server.database)]) as screen:
        screen.until(b"q: quit")
        assert screen.state() != screen.before
        screen.press(b"\x1b[A")  # an arrow ends nothing
        drawn = screen.shown
        for _ in range(2):
            screen.shown = b""
            screen.until(b"q: quit")
        screen.press(b"q") if way == "q" else screen.program.send_signal(signal.Signals[way])
        screen.until(LEAVE_SCREEN)
        assert screen.program.wait(10) == 0
        assert screen.state() == screen.before
        assert drawn.index(ENTER_SCREEN) < drawn.index(b"q: quit")
        assert screen.shown.count(LEAVE_SCREEN) == 1
        assert b"Traceback" not in screen.shown


async def test_top_waits_for_a_server_that_restarts(server: Server) -> None:
    with terminal([sys.executable, "-m", "vault_server", "top", "--database", str(server.database)]) as screen:
        screen.until(b"q: quit")
        await server.terminate()
        screen.until(b"no answer")
        screen.shown = b""
        await server.restart()
        screen.until(b"q: quit")
        screen.press(b"q")
        assert screen.program.wait(10) == 0


@pytest.mark.parametrize("name", ["top", "tail", "explain", "solvers", "bans", "ban", "unban", "check", "keys rotate"])
def test_the_help_of_each_command_has_an_example(operate: Operate, name: str) -> None:
    shown = operate(*name.split(), "--help").stdout
    assert f"Example: vault-server {name}" in shown
    assert "--database" in shown
    assert "--json" in shown
