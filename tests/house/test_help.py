"""What the three programs say of themselves is enough to use them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vault_client.__main__ import app as client
from vault_server.__main__ import cli as server
from vault_solver.__main__ import app as solver

PROGRAMS = Path(sys.executable).parent

COMMANDS = {
    "vault-server": ["serve", "top", "tail", "explain", "solvers", "bans", "ban", "unban", "appoint", "check"],
    "vault-solver": ["run", "calibrate", "bench"],
    "vault-client": [
        "keygen",
        "lock",
        "unlock",
        "submit",
        "status",
        "cancel",
        "list",
        "watch",
        "verify",
        "complain",
        "subnet",
        "hive",
    ],
}


APPS = {"vault-server": server, "vault-client": client, "vault-solver": solver}


@dataclass(frozen=True)
class Printed:
    """What a program printed, and how it ended."""

    code: int
    stdout: str
    stderr: str


def start(program: str, *arguments: str) -> Printed:
    """The program as people start it."""
    done = subprocess.run(
        [PROGRAMS / program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "100"},
    )
    return Printed(done.returncode, done.stdout, done.stderr)


def call(program: str, *arguments: str, columns: int = 100) -> Printed:
    """Its command line in this process: what it prints does not hang on who started it, and a start costs a second."""
    done = CliRunner().invoke(APPS[program], arguments, prog_name=program, env={"COLUMNS": str(columns)})
    return Printed(done.exit_code, done.stdout, done.stderr)


@pytest.mark.parametrize("program", COMMANDS)
def test_help_names_every_command_and_says_what_each_is_for(program: str) -> None:
    shown = start(program, "--help")
    assert shown == call(program, "--help")
    assert shown.code == 0, shown.stderr
    assert program in shown.stdout
    for command in COMMANDS[program]:
        [line] = [line for line in shown.stdout.splitlines() if line.strip(" │").split()[:1] == [command]]
        assert len(line.strip(" │").split()) > 4, f"{command}: {line}"


@pytest.mark.parametrize(("program", "command"), [(p, c) for p, commands in COMMANDS.items() for c in commands])
def test_help_of_a_command_explains_it(program: str, command: str) -> None:
    shown = call(program, command, "--help")
    assert shown.code == 0, shown.stderr
    assert f"{program} {command}" in shown.stdout
    options = [line for line in shown.stdout.splitlines() if line.strip(" │*").startswith("--")]
    assert options
    unexplained = [line for line in options if len(line.strip(" │*").split()) < 4 and "--help" not in line]
    assert not unexplained


@pytest.mark.parametrize(
    ("program", "command"),
    [("vault-server", "serve"), ("vault-solver", "run"), *(("vault-client", c) for c in COMMANDS["vault-client"])],
)
def test_nothing_is_cut_off_on_80_columns(program: str, command: str) -> None:
    shown = call(program, command, "--help", columns=80)
    assert shown.code == 0, shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 80
    # An ellipsis that we wrote stands behind digits or a blank; rich cuts words.
    assert not re.findall(r"[a-zA-Z)\]]…", shown.stdout)


@pytest.mark.parametrize("program", COMMANDS)
def test_an_unknown_command_is_refused_with_a_hint(program: str) -> None:
    refused = start(program, "frobnicate")
    assert refused.code == 2
    assert "frobnicate" in refused.stderr
    assert "--help" in refused.stderr
