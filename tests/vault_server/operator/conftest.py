"""The operator's commands in this process, and a database that has seen something."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.vault_server.systems.vault.told import tell
from vault_server.__main__ import cli

Operate = Callable[..., Result]


@pytest.fixture
def operate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Operate:
    """Run `vault-server` with these arguments in this test's folder."""
    for name in [name for name in os.environ if name.startswith("VAULT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=stdin)

    return run


@pytest.fixture(scope="session")
def told_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tell(tmp_path_factory.mktemp("told"))


@pytest.fixture
def told(told_once: Path, tmp_path: Path) -> Path:
    """A database of one's own in which the stories of `told.py` have happened, with its key; no server runs on it."""
    for path in told_once.parent.glob("vault.db*"):
        shutil.copy(path, tmp_path / path.name)
    return tmp_path / "vault.db"
