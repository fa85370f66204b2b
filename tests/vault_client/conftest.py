"""What the client's tests share: small puzzles, locked files, and the command line here or in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from protocol.identity import Identity
from protocol.puzzle import Puzzle, Ticket, make_locked
from tests.processes import WITHOUT_TRAPS, Server, Solver, environment
from vault_client.__main__ import app
from vault_client.locked_file import lock_file
from vault_client.locked_header import Header

Command = Callable[..., Result]


@dataclass(frozen=True)
class Sample:
    """A puzzle of 512 bits with its answer and ticket, and a file locked with it."""

    puzzle: Puzzle
    answer: int
    ticket: Ticket
    plain: Path
    locked: Path
    header: Header


@pytest.fixture(scope="session")
def made() -> tuple[Puzzle, int, Ticket]:
    return make_locked(40, 512)


@pytest.fixture
def sample(made: tuple[Puzzle, int, Ticket], tmp_path: Path) -> Sample:
    plain, locked = tmp_path / "letter.txt", tmp_path / "letter.txt.locked"
    plain.write_bytes(os.urandom(150_000))
    header = lock_file(plain, locked, made[0], made[1])
    return Sample(*made, plain, locked, header)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `vault-client` in this process, with this test's folder as its home and working folder."""
    for name in [name for name in os.environ if name.startswith("VAULT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)

    return run


class Relay:
    """A network that can fail while the server does not: cuts every connection, or swallows what the server says."""

    def __init__(self, port: int, server_port: int) -> None:
        self.port = port
        self.server_port = server_port
        self.deaf = False
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        self._writers += [writer, server_writer]
        await asyncio.gather(self._copy(reader, server_writer, False), self._copy(server_reader, writer, True))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, from_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if not (from_server and self.deaf):
                    writer.write(data)
        writer.close()

    def cut(self) -> None:
        self.deaf = False
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


@dataclass(frozen=True)
class House:
    """A server with two solvers that the tests of this folder share; `relay_port` is one of its public names."""

    server: Server
    relay_port: int


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Started once: most tests neither stop it nor count what it holds. Those that do start their own.

    It ends with the tests of this folder: solvers that were left with work would slow down all others.
    """
    folder = tmp_path_factory.mktemp("house")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        relay_port = free.getsockname()[1]
    server = Server(folder, WITHOUT_TRAPS | {"public_names": f"127.0.0.1:{relay_port}"})
    solvers: list[Solver] = []

    async def start() -> None:
        await server.start()
        solvers.extend(Solver(server, folder, f"solver-{number}") for number in (1, 2))
        await asyncio.gather(*(solver.start() for solver in solvers))

    async def finish() -> None:
        for process in (*solvers, server):
            await process.finish()

    try:
        asyncio.run(start())
        yield House(server, relay_port)
    finally:
        asyncio.run(finish())


@pytest.fixture
def solved(house: House) -> Server:
    """The shared server, which two solvers serve."""
    return house.server


@pytest.fixture
async def relay(house: House) -> AsyncIterator[Relay]:
    """The network between the shared server and a client."""
    network = Relay(house.relay_port, house.server.port)
    listener = await asyncio.start_server(network.relay, "127.0.0.1", house.relay_port)
    yield network
    listener.close()
    network.cut()
    await asyncio.sleep(0.02)


class Client:
    """`vault-client` in a process of its own, as the holder of one key, in this test's folder."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.server = server
        self.key = folder / "client.key"
        self.known = folder / "known-servers"
        self.identity = Identity.generate()
        self.key.touch(mode=0o600)
        self.key.write_bytes(self.identity.to_pem())
        self.known.write_text(server.pin + "\n")
        self._started: list[subprocess.Popen[str]] = []

    def options(self) -> list[str]:
        return ["--server", self.server.url, "--key", str(self.key), "--known-servers", str(self.known)]

    def start(self, name: str, *arguments: object) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "vault_client", name, *map(str, arguments), *self.options()]
        process = subprocess.Popen(
            words, cwd=self.folder, env=environment() | {"XDG_CONFIG_HOME": str(self.folder / "config")},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # A run of tests in the background ignores ctrl-C and would hand that down.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
        )  # fmt: skip
        self._started.append(process)
        return process

    async def end(self, process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
        async with asyncio.timeout(30):
            out, errors = await asyncio.to_thread(process.communicate)
        assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{errors}"
        return out, errors

    def kill_all(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()
