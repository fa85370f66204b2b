"""Real server and solver processes for tests. Whatever is started here is gone when its test ends, whatever happens.

Standard output and standard error go to files: nothing blocks on a full pipe, and a failed test can be read afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from protocol.address import KnownServers, parse_address
from protocol.identity import Identity
from tests.preloaded import Forked, fork

Event = dict[str, Any]
"""One JSON line of a process's log: `event`, `level`, `timestamp` and the event's own fields."""

START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 20.0
LOOK_SECONDS = 0.02
SETTLE_SECONDS = 0.1
BUSY_SECONDS_MAX = 2.0


UNHURRIED: dict[str, object] = {
    "max_requests_per_window": 100_000,
    "max_requests_per_window_client": 100_000,
    "new_connections_per_address_max": 100_000,
    "failed_hellos_per_address_max": 100_000,
}
"""Tests come and speak as fast as they can, all from one address; those about these limits set them themselves."""

WITHOUT_TRAPS: dict[str, object] = {"trap_share": 0}
"""A server's own puzzles come at moments that nobody foresees, to any solver: tests that count either have none."""


class ProcessFailed(AssertionError):
    """A process that did not do what every test expects of it; the message ends with what it printed last."""


def environment(settings: dict[str, object] | None = None) -> dict[str, str]:
    """This process's environment with these VAULT_ settings alone: {"open_tasks_max": 3} is VAULT_OPEN_TASKS_MAX=3.

    HTTP gets a free port unless they say otherwise.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VAULT_")}
    given = {"http_port": 0} | (settings or {})
    return kept | {f"VAULT_{name.upper()}": str(value) for name, value in given.items()}


class LoggingProcess(ABC):
    """One process of ours that logs JSON lines; its log goes on across `restart()`.

    `errors_expected` holds names of events that may have level error (or worse) in this test. `may_be_forked` is set
    where many are started, in tests: demos, benches and simulations begin theirs anew, as anybody would.
    """

    may_be_forked = False

    def __init__(self, name: str, folder: Path, settings: dict[str, object] | None = None) -> None:
        self.name = name
        self.folder = folder
        self.settings = settings or {}
        self.interpreter = Path(sys.executable)
        self.errors_expected: set[str] = set()
        self.log_path = folder / f"{name}.log"
        self.stderr_path = folder / f"{name}.stderr"
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._events: list[Event] = []
        self._read_bytes = 0
        self._group: int | None = None

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """What to run, behind the interpreter."""

    def launch(self) -> None:
        """Start it, without waiting until it is ready."""
        assert not self.running, f"{self.name} runs already"
        self._process = self._start(list(map(str, self.command())))
        self._group = self._process.pid

    def _start(self, words: list[str]) -> subprocess.Popen[bytes] | Forked:
        """In a session of its own, so that its workers can be ended with it."""
        is_ours = words[0] == "-m" and str(self.interpreter) == sys.executable
        if self.may_be_forked and is_ours and hasattr(os, "pidfd_open"):
            return fork(
                words[1:],
                cwd=self.folder,
                env=environment(self.settings),
                stdout=self.log_path,
                stderr=self.stderr_path,
            )
        with self.log_path.open("ab") as log, self.stderr_path.open("ab") as errors:
            return subprocess.Popen(
                [str(self.interpreter), *words],
                cwd=self.folder,
                env=environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether the process itself is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's number, for signals of a test's own."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def events(self) -> list[Event]:
        """Every log line so far, oldest first. A line that is not JSON is an event of level error."""
        if self.log_path.exists():
            with self.log_path.open("rb") as log:
                log.seek(self._read_bytes)
                whole = log.read().rpartition(b"\n")[0]
            if whole:
                self._read_bytes += len(whole) + 1
                self._events += [_event(line) for line in whole.splitlines() if line.strip()]
        return self._events

    def find(self, name: str, **fields: object) -> list[Event]:
        """The events of this name whose fields have these values, oldest first.

        A log line is written by a thread of its own, a moment after what it tells: that moment is waited for here, and
        on a loaded machine until none of its threads has anything to do.
        """
        time.sleep(SETTLE_SECONDS)
        until = time.monotonic() + BUSY_SECONDS_MAX
        while self.running and self._is_busy() and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        return self._matching(name, **fields)

    def _is_busy(self) -> bool:
        """Whether a thread of it is running, or would be if it got a processor, or waits for a disk."""
        with contextlib.suppress(OSError):  # it has just ended, or this is not Linux
            stats = [(task / "stat").read_text() for task in Path(f"/proc/{self.pid}/task").iterdir()]
            return any(stat.rpartition(")")[2].split()[0] in "RD" for stat in stats)
        return False

    def _matching(self, name: str, **fields: object) -> list[Event]:
        return [e for e in self.events if e.get("event") == name and all(e.get(k) == v for k, v in fields.items())]

    async def event(self, name: str, *, seconds: float = 15.0, count: int = 1, **fields: object) -> Event:
        """Wait until that event has come `count` times; returns the last of those. Raises ProcessFailed."""
        until = time.monotonic() + seconds
        while len(found := self._matching(name, **fields)) < count:
            if not self.running and len(found := self._matching(name, **fields)) < count:
                raise ProcessFailed(f"{self.name} ended before {name} {fields or ''} came\n{self.tail()}")
            if time.monotonic() > until:
                raise ProcessFailed(f"{self.name}: no {name} {fields or ''} in {seconds} s\n{self.tail()}")
            await asyncio.sleep(LOOK_SECONDS)
        return found[count - 1]

    async def wait(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """Wait until it has ended by itself; returns its exit code. Raises ProcessFailed."""
        assert self._process is not None, f"{self.name} was never started"
        until = time.monotonic() + seconds
        while (code := self._process.poll()) is None:
            if time.monotonic() > until:
                raise ProcessFailed(f"{self.name} has not ended in {seconds} s\n{self.tail()}")
            await asyncio.sleep(LOOK_SECONDS)
        return code

    async def terminate(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """SIGTERM: ask it to stop in order; returns its exit code."""
        self.send(signal.SIGTERM)
        return await self.wait(seconds)

    async def kill(self) -> None:
        """SIGKILL, as a power cut would: the process alone, not its workers."""
        self.send(signal.SIGKILL)
        await self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself."""
        assert self._process is not None, f"{self.name} was never started"
        self._process.send_signal(number)

    async def finish(self) -> None:
        """The end of every test: it stops when asked, nothing of it is left, and it logged no error unexpectedly."""
        try:
            if self.running:
                code = await self.terminate()
                if code != 0:
                    raise ProcessFailed(f"{self.name} answered SIGTERM with exit code {code}\n{self.tail()}")
        finally:
            self.end_group()
        bad = [e for e in self.events if e.get("level") in ("error", "critical", "exception")]
        if unexpected := [e for e in bad if e.get("event") not in self.errors_expected]:
            raise ProcessFailed(f"{self.name} logged errors: {unexpected}\n{self.tail()}")

    def end_group(self) -> None:
        """SIGKILL to whatever is left of it and its workers."""
        if self._group is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(timeout=10)

    def tail(self, lines: int = 25) -> str:
        """The last lines of what it printed."""
        shown = []
        for path in (self.log_path, self.stderr_path):
            text = path.read_text(errors="replace") if path.exists() else ""
            shown.append(f"--- {path.name}\n" + "\n".join(text.splitlines()[-lines:]))
        return "\n".join(shown)


def _event(line: bytes) -> Event:
    with contextlib.suppress(ValueError):
        read = json.loads(line)
        if isinstance(read, dict):
            return read
    return {"event": "line.unreadable", "level": "error", "line": line.decode(errors="replace")}


class Server(LoggingProcess):
    """`vault-server serve` on a port of its own and a fresh database file. Settings are given without VAULT_."""

    def __init__(self, folder: Path, settings: dict[str, object], name: str = "server") -> None:
        super().__init__(name, folder, {"modulus_bits_min": 512} | UNHURRIED | settings)
        self.database = folder / f"{name}.db"
        self.port = 0
        self.url = ""
        self.http_port = 0
        self.server_key = ""
        self._starts = 0

    def command(self) -> Sequence[str | Path]:
        """Port 0 at first; the port it got then from the second start on."""
        return ["-m", "vault_server", "serve", "--database", self.database, "--port", str(self.port)]

    async def start(self) -> None:
        """Start, and wait until it accepts connections."""
        before = len(self._matching("server.ready"))  # whoever wrote them has ended
        self.launch()
        ready = await self.event("server.ready", seconds=START_SECONDS_MAX, count=before + 1)
        self.port, self.url, self.server_key = ready["port"], ready["url"], ready["server_key"]
        self.http_port = ready["http_port"] or 0

    async def restart(self) -> None:
        """Start again on the same file and port; ask it to stop first if it runs."""
        if self.running:
            await self.terminate()
        await self.start()

    @property
    def writer(self) -> psutil.Process:
        """The process that writes the embedded database for it; no other child has its command line."""
        server = psutil.Process(self.pid)
        [found] = [child for child in server.children() if child.cmdline() == server.cmdline()]
        return found

    @property
    def workers(self) -> list[psutil.Process]:
        """The processes that compute for it."""
        server = psutil.Process(self.pid)
        return [child for child in server.children() if child.cmdline() != server.cmdline()]

    @property
    def authority(self) -> str:
        """host:port as it is signed."""
        return parse_address(self.url).authority

    @property
    def pin(self) -> str:
        """The line of a known-servers file that names this server."""
        return KnownServers.line(self.authority, bytes.fromhex(self.server_key))


class Solver(LoggingProcess):
    """`vault-solver run` with a key of its own, pinned to its server; `arguments` go to its command line."""

    def __init__(
        self, server: Server, folder: Path, name: str, arguments: Sequence[str] = (), workers: int = 1
    ) -> None:
        super().__init__(name, folder)
        self.server = server
        self.arguments = tuple(arguments)
        self.workers = workers
        self.identity = Identity.generate()
        self.key_path = folder / f"{name}.key"
        self.known_servers = folder / f"{name}.known-servers"

    @property
    def fingerprint(self) -> str:
        """Its `solver_id`."""
        return self.identity.fingerprint

    def command(self) -> Sequence[str | Path]:
        """The same each time: a restarted solver is the same solver."""
        connect: list[str | Path] = [
            "--server",
            self.server.url,
            "--key",
            self.key_path,
            "--known-servers",
            self.known_servers,
        ]
        quick = ("--calibration", "0.02")  # unless `arguments` say otherwise: the last word counts
        return ["-m", "vault_solver", "run", *connect, "--workers", str(self.workers), *quick, *self.arguments]

    async def start(self) -> None:
        """Start, and wait until the server counts it online."""
        if not self.key_path.exists():
            self.key_path.touch(mode=0o600)
            self.key_path.write_bytes(self.identity.to_pem())
            self.known_servers.write_text(self.server.pin + "\n")
        was_there = self._process is not None
        before = len(self.server.find("solver.online", solver=self.fingerprint)) if was_there else 0
        self.launch()
        try:
            await self.server.event(
                "solver.online", solver=self.fingerprint, count=before + 1, seconds=START_SECONDS_MAX
            )
        except ProcessFailed as failed:
            raise ProcessFailed(f"{failed}\n{self.tail()}") from None
