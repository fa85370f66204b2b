"""The command line without a server: locking, opening on this machine, wrong usage, full disks, clear errors."""

from __future__ import annotations

import json
import math
import os
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.vault_client.conftest import Command, Sample
from tests.vault_client.test_files import full_disk
from vault_client.cli import options
from vault_client.kernels import Opponent, fastest
from vault_client.locked_file import LockedFile
from vault_client.tickets import read_ticket


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.txt"
    path.write_bytes(os.urandom(100_000))
    return path


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != "config"}


def test_a_file_is_locked_and_opened_here(command: Command, letter: Path, tmp_path: Path) -> None:
    before = letter.read_bytes()
    locked = command("lock", letter, "--squarings", 2_000, "--bits", 512)
    assert locked.exit_code == 0, locked.output
    assert "can be factored" in locked.stderr
    assert "2,000 squarings" in locked.stdout
    assert (tmp_path / "letter.txt.ticket").stat().st_mode & 0o777 == 0o600
    assert letter.read_bytes() == before
    letter.unlink()
    opened = command("unlock", "letter.txt.locked", "--local")
    assert opened.exit_code == 0, opened.output
    assert letter.read_bytes() == before
    assert left_in(tmp_path) == {"letter.txt", "letter.txt.locked", "letter.txt.ticket"}


def test_a_time_is_of_the_fastest_known_work_and_is_explained(command: Command, letter: Path, tmp_path: Path) -> None:
    locked = command("lock", letter, "--for", "1h", "--bits", 512, "--out", tmp_path / "x")
    assert locked.exit_code == 0, locked.output
    squarings = LockedFile.examine(tmp_path / "x").header.puzzle.squarings
    assert squarings == math.ceil(3_600 * fastest(Opponent.PROCESSOR, 512))
    assert (
        f"{squarings:,} squarings modulo 512 bits. The fastest program known needs 1h on a processor" in locked.stderr
    )
    assert "GMP on this machine" in locked.stderr
    assert (tmp_path / "x.ticket").exists()


def test_a_time_may_be_measured_by_another_opponent(command: Command, letter: Path, tmp_path: Path) -> None:
    against = ("--for", "1h", "--bits", 512, "--no-ticket", "--against")
    assert command("lock", letter, *against, "fpga", "--out", tmp_path / "fpga").exit_code == 0
    squarings = LockedFile.examine(tmp_path / "fpga").header.puzzle.squarings
    assert squarings == math.ceil(3_600 * fastest(Opponent.FPGA, 512))
    assert command("lock", letter, *against, "this-machine", "--out", tmp_path / "here").exit_code == 0
    assert 10_000 * 3_600 < LockedFile.examine(tmp_path / "here").header.puzzle.squarings < 10**9 * 3_600
    assert command("lock", letter, *against, "nobody", "--out", tmp_path / "none").exit_code == 2


def test_the_ticket_is_the_file_s_own_and_can_be_left_out(command: Command, letter: Path, tmp_path: Path) -> None:
    assert command("lock", letter, "--squarings", 5, "--bits", 512, "--ticket", tmp_path / "t").exit_code == 0
    header = LockedFile.examine(tmp_path / "letter.txt.locked").header
    assert read_ticket(tmp_path / "t", header).base_root > 1
    assert command("lock", letter, "--squarings", 5, "--bits", 512, "--out", "y.locked", "--no-ticket").exit_code == 0
    assert left_in(tmp_path) == {"letter.txt", "letter.txt.locked", "t", "y.locked"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["lock", "letter.txt"],
        ["lock", "letter.txt", "--for", "1s", "--squarings", "5"],
        ["lock", "letter.txt", "--for", "soon"],
        ["lock", "letter.txt", "--squarings", "0"],
        ["lock", "letter.txt", "--squarings", str(2**53)],
        ["lock", "letter.txt", "--squarings", "5", "--bits", "510"],
        ["lock", "letter.txt", "--squarings", "5", "--bits", "513"],
        ["unlock", "letter.txt"],
        ["submit", "--t", "0", "--baseg", "3", "--product", "15"],
        ["submit", "--t", "5", "--baseg", "three", "--product", "15"],
        ["submit", "--t", "5", "--baseg", "abc", "--product", "15"],
        ["submit", "--t", "5", "--baseg", "-", "--product", "-"],
        ["submit", "--t", "5", "--baseg", "3", "--product", "15", "--commitment", "abc"],
        ["submit", "--t", "5"],
        ["status"],
        ["status", "nonsense"],
        ["cancel", "AB" * 16],
        ["complain", "ab" * 15, "--late"],
        ["watch", "ab" * 16, "ab" * 17],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2_and_touches_nothing(
    arguments: list[str], command: Command, letter: Path, tmp_path: Path
) -> None:
    refused = command(*arguments, stdin=b"7")
    assert refused.exit_code == 2, refused.output
    assert "Usage" in refused.stderr
    assert left_in(tmp_path) == {"letter.txt"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.txt"], "no such file or folder"),
        (["."], "no ordinary file"),
        (["letter.txt", "--out", "letter.txt"], "three names"),
        (["letter.txt", "--ticket", "letter.txt.locked"], "three names"),
        (["letter.txt", "--out", "taken"], "taken exists already"),
        (["letter.txt", "--ticket", "taken"], "taken exists already"),
        (["letter.txt", "--out", "missing/x.locked"], "no such file or folder"),
        (["letter.txt", "--ticket", "missing/x.ticket"], "no such file or folder"),
        (["letter.txt", "--out", "taken/x.locked"], "part of its path is no folder"),
        (["letter.txt", "--out", "/dev/full"], "no ordinary file"),
    ],
)
def test_locking_that_cannot_be_is_exit_code_1_and_leaves_nothing(
    arguments: list[str], said: str, command: Command, letter: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_bytes(b"old")
    before = letter.read_bytes()
    refused = command("lock", *arguments, "--squarings", 5, "--bits", 512)
    assert refused.exit_code == 1, refused.output
    assert said in refused.stderr
    assert "Traceback" not in refused.output
    assert left_in(tmp_path) == {"letter.txt", "taken"}
    assert (letter.read_bytes(), (tmp_path / "taken").read_bytes()) == (before, b"old")


def test_force_replaces_what_is_there(command: Command, letter: Path, tmp_path: Path) -> None:
    for name in ("letter.txt.locked", "letter.txt.ticket"):
        (tmp_path / name).write_bytes(b"old")
    assert command("lock", letter, "--squarings", 5, "--bits", 512).exit_code == 1
    assert command("lock", letter, "--squarings", 5, "--bits", 512, "--force").exit_code == 0
    opened = command("unlock", "letter.txt.locked", "--local", "--force")
    assert opened.exit_code == 0, opened.output


@pytest.mark.parametrize("room", [300, 50_000, 100_300])
def test_a_full_disk_while_locking_leaves_nothing(room: int, command: Command, letter: Path, tmp_path: Path) -> None:
    with full_disk(room):
        refused = command("lock", letter, "--squarings", 5, "--bits", 512)
    assert refused.exit_code == 1
    assert "Cannot write" in refused.stderr
    assert left_in(tmp_path) == {"letter.txt"}


def test_a_full_disk_while_opening_leaves_nothing_and_loses_nothing(
    command: Command, sample: Sample, tmp_path: Path
) -> None:
    sample.plain.rename(tmp_path / "kept")
    with full_disk(100_000):
        refused = command("unlock", sample.locked, "--local")
    assert refused.exit_code == 1
    assert "Cannot write" in refused.stderr
    assert left_in(tmp_path) == {"kept", "letter.txt.locked"}
    assert command("unlock", sample.locked, "--local").exit_code == 0
    assert sample.plain.read_bytes() == (tmp_path / "kept").read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"some text that was never locked", "not a locked file"),
        (b"\x89VLOCK\r\n\x00\x07 of the future", "version 7"),
        (b"\x89VLOCK\r\n\x00\x01 cut", "truncated"),
    ],
)
def test_a_file_that_cannot_be_opened_is_exit_code_1_and_untouched(
    content: bytes, said: str, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "x.locked").write_bytes(content)
    refused = command("unlock", "x.locked")
    assert refused.exit_code == 1
    assert said in refused.stderr
    assert left_in(tmp_path) == {"x.locked"}
    assert (tmp_path / "x.locked").read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "exists already"),
        (["--out", "missing/x"], "no such file or folder"),
        (["--out", "new", "--ticket", "missing"], "Cannot read missing"),
        (["--out", "new", "--ticket", "letter.txt"], "vault ticket letter.txt has been changed or damaged"),
        (["--out", "new", "--server", "http://x"], "no server address"),
        (["--out", "new", "--server-key", "abc"], "64 hex digits"),
        (["--out", "new", "--key", "letter.txt"], "Cannot use letter.txt"),
    ],
)
def test_unlocking_that_cannot_be_asks_nobody(
    arguments: list[str], said: str, command: Command, sample: Sample, tmp_path: Path
) -> None:
    sample.plain.write_bytes(b"no key, no ticket")
    sample.plain.chmod(0o600)  # as private as a ticket has to be
    refused = command("unlock", sample.locked, *arguments)
    assert refused.exit_code == 1, refused.output
    assert said in refused.stderr
    assert left_in(tmp_path) == {"letter.txt", "letter.txt.locked"}


def test_a_server_that_is_not_there_is_said_within_seconds(
    command: Command, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert options.CONNECT_SECONDS_MAX <= 5
    monkeypatch.setattr(options, "CONNECT_SECONDS_MAX", 0.5)
    refused = command("unlock", sample.locked, "--out", "new", "--server", "ws://127.0.0.1:1")
    assert refused.exit_code == 1
    assert "Cannot reach the server at 127.0.0.1:1: nothing listens there" in refused.stderr
    assert left_in(tmp_path) == {"letter.txt", "letter.txt.locked"}


def test_a_key_is_made_where_xdg_says_and_not_twice(command: Command, tmp_path: Path) -> None:
    made = command("keygen")
    path = tmp_path / "config" / "vault" / "client.key"
    assert made.exit_code == 0, made.output
    assert str(path) in made.stdout
    assert path.stat().st_mode & 0o777 == 0o600
    refused = command("keygen")
    assert refused.exit_code == 1
    assert "exists already" in refused.stderr
    assert command("keygen", "--key", "second.key").exit_code == 0


def test_a_folder_is_no_key_and_it_is_said_what_is_meant(command: Command, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    for words in (["keygen"], ["list"], ["cancel", "ab" * 16]):
        for folder, meant in ((".", "client.key"), ("keys", "keys/client.key")):
            refused = command(*words, "--key", folder)
            assert refused.exit_code == 1
            assert f"{folder} is a folder, and a key is a file." in refused.stderr
            assert f"--key {meant}\n" in refused.stderr
            assert "chmod" not in refused.stderr
    assert left_in(tmp_path) == {"keys"}


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["status", "ab" * 16],
        ["watch"],
        ["cancel", "ab" * 16],
        ["complain", "ab" * 16, "--late"],
        ["subnet", "show", "1"],
        ["subnet", "watch"],
        ["subnet", "who"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_whoever_only_looks_makes_no_key_where_one_is_named(words: list[str], command: Command, tmp_path: Path) -> None:
    refused = command(*words, "--key", "nowhere/x.key")
    assert refused.exit_code == 1, refused.output
    assert "Cannot read nowhere/x.key: there is no such file or folder." in refused.stderr
    assert left_in(tmp_path) == set()


def test_a_task_is_32_hex_digits(command: Command) -> None:
    refused = command("status", "nonsense")
    assert "its id is 32 hex digits" in " ".join(refused.stderr.replace("│", " ").split())


def test_the_version_is_told(command: Command) -> None:
    told = command("--version")
    assert (told.exit_code, told.stdout) == (0, f"vault-client {version('vault-server')}\n")


def test_an_error_for_a_script_is_one_json_object(command: Command) -> None:
    refused = command("submit", "--t", 5, "--baseg", "@missing", "--product", 15, "--json")
    assert refused.exit_code == 1
    error = json.loads(refused.stderr)
    assert (error["code"], error["retryable"]) == ("FILE", False)
    assert "missing" in error["message"]
    assert error["suggestion"]
