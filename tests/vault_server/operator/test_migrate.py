"""`vault-server migrate` as an operator runs it, and the server that comes after."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from protocol.identity import Identity
from tests.processes import environment
from tests.vault_server.systems.vault.told import tell
from vault_server.core.location import PostgresUrl
from vault_server.keys import identity_path, master_key_path
from vault_server.operator.migrating import _next_step
from vault_server.storage.copying import copy_file
from vault_server.storage.opening import is_used


def run(folder: Path, url: PostgresUrl, *words: str) -> subprocess.CompletedProcess[str]:
    settings: dict[str, object] = {"database": url.secret, "key_files": folder / "vault", "modulus_bits_min": 64}
    command = [sys.executable, "-m", "vault_server", *words]
    return subprocess.run(command, env=environment(settings), capture_output=True, text=True, timeout=60, cwd=folder)


def told_with_identity(folder: Path) -> Path:
    told = tell(folder)
    identity_path(told).touch(mode=0o600)
    identity_path(told).write_bytes(Identity.generate().to_pem())
    return told


def test_a_file_moves_up_and_is_served(tmp_path: Path, own_postgres_url: PostgresUrl) -> None:
    told = told_with_identity(tmp_path)
    moved = run(tmp_path, own_postgres_url, "migrate", "--from", str(told), "--key-files", str(tmp_path / "vault"))
    assert moved.returncode == 0, moved.stderr
    assert "all invariants hold on both sides" in moved.stdout
    assert (tmp_path / "vault.master-key").stat().st_mode & 0o077 == 0
    checked = run(tmp_path, own_postgres_url, "check")
    assert checked.returncode == 0, checked.stdout
    assert "not looked at" not in checked.stdout  # also what is sealed opens
    shown = run(tmp_path, own_postgres_url, "solvers")
    assert shown.stdout.count("\n") > 3
    again = run(tmp_path, own_postgres_url, "migrate", "--from", str(told))
    assert again.returncode == 0, again.stderr
    assert "the copy is complete" in again.stdout


def test_a_run_that_was_killed_before_the_keys_is_finished(tmp_path: Path, own_postgres_url: PostgresUrl) -> None:
    told = told_with_identity(tmp_path)
    copy_file(told, own_postgres_url, lambda _table, _rows, _of: None, lambda: None)
    finished = run(tmp_path, own_postgres_url, "migrate", "--from", str(told))
    assert finished.returncode == 0, finished.stderr
    copies = tmp_path / "vault"
    for path in (identity_path, master_key_path):
        assert path(copies).read_bytes() == path(told).read_bytes()
        assert path(copies).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("path", [identity_path, master_key_path])
def test_another_key_at_the_target_is_neither_taken_nor_overwritten(
    tmp_path: Path, own_postgres_url: PostgresUrl, path: Callable[[Path], Path]
) -> None:
    told = told_with_identity(tmp_path)
    path(tmp_path / "vault").touch(mode=0o600)
    path(tmp_path / "vault").write_text("junk")
    refused = run(tmp_path, own_postgres_url, "migrate", "--from", str(told))
    assert refused.returncode == 1
    assert f"{path(tmp_path / 'vault')} holds another key" in refused.stderr
    assert "VAULT_KEY_FILES" in refused.stderr
    assert path(tmp_path / "vault").read_text() == "junk"
    assert not is_used(own_postgres_url)


@pytest.mark.parametrize(("path", "cure"), [(identity_path, "mode 0600"), (master_key_path, "VAULT_MASTER_KEY")])
def test_a_file_without_its_keys_is_not_moved(
    tmp_path: Path, own_postgres_url: PostgresUrl, path: Callable[[Path], Path], cure: str
) -> None:
    told = told_with_identity(tmp_path)
    path(told).unlink()
    refused = run(tmp_path, own_postgres_url, "migrate", "--from", str(told))
    assert refused.returncode == 1
    assert str(path(told)) in refused.stderr
    assert cure in refused.stderr
    assert "VAULT_KEY_FILES" in refused.stderr
    assert not is_used(own_postgres_url)


@pytest.mark.parametrize(
    ("url", "in_environment", "said"),
    [
        (
            "postgresql:///v?host=/pg&port=1",
            False,
            "VAULT_DATABASE='postgresql:///v?host=/pg&port=1' vault-server serve",
        ),
        ("postgresql://ann:geheim@db/v", False, "with VAULT_DATABASE set to the URL of --to: VAULT_KEY_FILES=keys/v "),
        (
            "postgresql://ann:geheim@db/v",
            True,
            "with VAULT_DATABASE as it is: VAULT_KEY_FILES=keys/v vault-server serve",
        ),
    ],
    ids=["quoted", "password", "environment"],
)
def test_the_next_step_is_for_a_shell_and_tells_no_password(url: str, in_environment: bool, said: str) -> None:
    line = _next_step(PostgresUrl(url), Path("keys/v"), in_environment=in_environment)
    assert said in line
    assert "geheim" not in line


class Interrupted(Exception):
    """The copy ends here."""


def interrupt(_table: str, _rows: int, _of: int) -> None:
    raise Interrupted


def test_nothing_is_served_from_half_a_copy_nor_left_beside_it(tmp_path: Path, own_postgres_url: PostgresUrl) -> None:
    told = told_with_identity(tmp_path)
    with pytest.raises(Interrupted):
        copy_file(told, own_postgres_url, interrupt, lambda: None)
    before = sorted(tmp_path.iterdir())
    refused = run(tmp_path, own_postgres_url, "serve", "--port", "0")
    assert refused.returncode == 1
    assert f"vault-server migrate --from {told}" in refused.stderr
    assert sorted(tmp_path.iterdir()) == before
    looked = run(tmp_path, own_postgres_url, "check")
    assert looked.returncode == 2
    assert f"vault-server migrate --from {told}" in looked.stderr


def test_no_keys_are_made_for_the_database_of_another_program(tmp_path: Path, own_postgres_url: PostgresUrl) -> None:
    with psycopg.connect(own_postgres_url.secret) as connection:
        connection.execute("CREATE TABLE outbox (x int)")
    refused = run(tmp_path, own_postgres_url, "serve", "--port", "0")
    assert refused.returncode == 1
    assert "of another program" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_is_no_postgresql_is_refused(tmp_path: Path) -> None:
    told = tell(tmp_path)
    command = [sys.executable, "-m", "vault_server", "migrate", "--from", str(told), "--to", "other.db"]
    refused = subprocess.run(command, env=environment({}), capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert refused.returncode == 2
    assert "postgresql://" in refused.stderr
    assert not os.path.exists(tmp_path / "other.db")
