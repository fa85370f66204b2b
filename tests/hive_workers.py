"""`vault-client hive work` as a process of its own, with a program of a test's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.hive_market import key_file
from tests.processes import LoggingProcess, Server

START_SECONDS_MAX = 20.0


def script(folder: Path, name: str, text: str) -> Path:
    """A program."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


class Worker(LoggingProcess):
    """It prints one JSON line for each thing that happens; `options` go to its command line."""

    def __init__(
        self, server: Server, folder: Path, name: str, key: str, program: str, options: Sequence[str] = ()
    ) -> None:
        super().__init__(name, folder)
        self.server = server
        self.key_file = key_file(folder, key, f"{name}.key")
        self.program = script(folder, f"{name}.sh", program)
        self.options = tuple(options)

    def command(self) -> Sequence[str | Path]:
        """The same each time."""
        connect: list[str | Path] = ["--server", self.server.url, "--key-file", self.key_file, "--json"]
        return ["-m", "vault_client", "hive", "work", "--exec", self.program, *connect, *self.options]

    async def start(self) -> None:
        """Until it is ready."""
        before = len(self.find("ready"))
        self.launch()
        await self.event("ready", count=before + 1, seconds=START_SECONDS_MAX)

    def printed(self) -> str:
        """All that it has said, on both outputs."""
        return self.log_path.read_text() + self.stderr_path.read_text()


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
