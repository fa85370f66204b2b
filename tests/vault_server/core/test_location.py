"""What names a database: a path, a URL of PostgreSQL, and what is refused because it may hold a password."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import environment
from vault_server.core.location import PostgresUrl, location

PASSWORD = "geheim"
NEITHER = (
    f"mysql://user:{PASSWORD}@host/db",
    f"mysql:/user:{PASSWORD}@host/db",
    f"sqlite+x://{PASSWORD}",
    f"postgresql:/user:{PASSWORD}@host/db",
    f"postgresql:user:{PASSWORD}@host/db",
    f"'postgresql://user:{PASSWORD}@host/db'",
    f" postgresql://user:{PASSWORD}@host/db",
    f"user:{PASSWORD}@host/db",
    f"host=db password={PASSWORD}",
    f"PASSWORD = {PASSWORD}",
    f"connect_timeout=3 password={PASSWORD}",
)


@pytest.mark.parametrize(
    "text", ["vault.db", "/data/vault.db", "postgresql.db", "data/host-1:2/v.db", "a@b.db", "c=d.db"]
)
def test_a_path_is_a_path(text: str) -> None:
    assert location(text) == Path(text)
    assert location(Path(text)) == Path(text)


@pytest.mark.parametrize("text", NEITHER)
def test_what_is_neither_is_refused_and_not_repeated(text: str) -> None:
    for given in (text, Path(text)):
        with pytest.raises(ValueError, match="postgresql://user@host") as refused:
            location(given)
        assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgresql", "Postgresql", "POSTGRES"])
def test_a_scheme_is_one_in_letters_of_any_size(scheme: str) -> None:
    url = location(f"{scheme}://Ann:{PASSWORD}@Host/Vault")
    assert isinstance(url, PostgresUrl)
    assert url.secret == f"{scheme.lower()}://Ann:{PASSWORD}@Host/Vault"
    assert str(url) == f"{scheme.lower()}://Ann:***@Host/Vault"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql:///vault?host=/run/pg", "postgresql:///vault?host=/run/pg"),
        (f"postgresql:///vault?password={PASSWORD}&host=db", "postgresql:///vault?password=***&host=db"),
        ("postgresql://", "postgresql://"),
    ],
)
def test_a_url_without_a_host_is_shown_as_one(text: str, shown: str) -> None:
    assert str(PostgresUrl(text)) == shown


@pytest.mark.parametrize(
    "words",
    [["serve", "--database"], ["check", "--database"], ["migrate", "--from"], ["migrate", "--from", "v", "--to"]],
)
def test_no_command_repeats_it_or_leaves_a_file(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vault_server", *words, NEITHER[0]]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert ended.returncode == 2
    assert "postgresql://user@host" in ended.stderr
    assert PASSWORD not in ended.stdout + ended.stderr
    assert os.listdir(tmp_path) == []
