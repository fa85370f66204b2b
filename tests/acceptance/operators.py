"""The operator's commands on a test's server: in a process of its own, and the check that every story ends with."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from typer.testing import CliRunner

from tests.processes import Server, environment
from vault_server.__main__ import cli


async def operate(server: Server, command: str, *words: str) -> str:
    """What `vault-server COMMAND …` prints; it must succeed."""
    line = [sys.executable, "-m", "vault_server", command, *words, "--database", str(server.database)]
    done = await asyncio.to_thread(
        subprocess.run, line, cwd=server.folder, env=environment(server.settings), capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def is_sound(server: Server) -> None:
    """`vault-server check` finds every invariant to hold, also that what is sealed opens.

    It runs in this process, which has what it imports: a story need not wait for another interpreter.
    """
    settings = environment(server.settings)
    result = CliRunner(env={name: value for name, value in settings.items() if name.startswith("VAULT_")}).invoke(
        cli, ["check", "--database", str(server.database)]
    )
    assert result.exit_code == 0, f"{result.output}{result.exception!r}"
    assert result.stdout.startswith("sound: ")
