"""`vault-server migrate` as an operator runs it, and the server that comes after."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from protocol.identity import Identity
from tests.processes import environment
from tests.vault_server.systems.vault.told import tell
from vault_server.core.location import PostgresUrl
from vault_server.keys import identity_path


def run(folder: Path, url: PostgresUrl, *words: str) -> subprocess.CompletedProcess[str]:
    settings: dict[str, object] = {"database": url.secret, "key_files": folder / "vault", "modulus_bits_min": 64}
    command = [sys.executable, "-m", "vault_server", *words]
    return subprocess.run(command, env=environment(settings), capture_output=True, text=True, timeout=60, cwd=folder)


def test_a_file_moves_up_and_is_served(tmp_path: Path, own_postgres_url: PostgresUrl) -> None:
    told = tell(tmp_path)
    identity_path(told).touch(mode=0o600)
    identity_path(told).write_bytes(Identity.generate().to_pem())
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
    assert again.returncode == 2
    assert "give it a new database" in again.stderr


def test_a_target_that_is_no_postgresql_is_refused(tmp_path: Path) -> None:
    told = tell(tmp_path)
    command = [sys.executable, "-m", "vault_server", "migrate", "--from", str(told), "--to", "other.db"]
    refused = subprocess.run(command, env=environment({}), capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert refused.returncode == 2
    assert "postgresql://" in refused.stderr
    assert not os.path.exists(tmp_path / "other.db")
