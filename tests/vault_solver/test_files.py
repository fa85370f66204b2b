"""The key and the known servers on disk: whole or not there, closed to others, never replaced unasked."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protocol.address import PinMismatch
from protocol.identity import Identity
from vault_solver.errors import BadFile
from vault_solver.keyfile import default_key_path, load_or_make_key
from vault_solver.pins import Pins, default_known_servers_path

KEY_A, KEY_B = b"\xaa" * 32, b"\xbb" * 32
WHERE = "127.0.0.1:8765"


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond eight bytes: the system refuses the write, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# the key


def test_a_key_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "solver.key"
    identity, made = load_or_make_key(path)
    assert made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    before = path.read_bytes()
    again, made_again = load_or_make_key(path)
    assert not made_again
    assert again.fingerprint == identity.fingerprint
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["solver.key"]


@pytest.mark.parametrize("content", [b"", b"not a key\n", b"\xff\xfe", b"x" * (2**20 + 1)])
def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "solver.key"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(BadFile, match=r"solver\.key"):
        load_or_make_key(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "solver.key"
    path.write_bytes(Identity.generate().to_pem())
    path.chmod(mode)
    with pytest.raises(BadFile, match="chmod 600"):
        load_or_make_key(path)


def test_a_full_disk_leaves_no_half_key(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(BadFile, match=r"Cannot write .*solver\.key.*Free some space"):
        load_or_make_key(tmp_path / "solver.key")
    assert os.listdir(tmp_path) == []


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadFile, match="Check the path"):
        load_or_make_key(tmp_path / "file" / "solver.key")


def test_files_stand_where_xdg_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert default_key_path() == tmp_path / ".config" / "vault" / "solver.key"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "x"))
    assert default_key_path() == tmp_path / "x" / "vault" / "solver.key"
    assert default_known_servers_path() == tmp_path / "x" / "vault" / "known-servers"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert default_key_path() == tmp_path / ".config" / "vault" / "solver.key"


# the known servers


def test_the_first_key_is_kept_and_another_refused_without_touching_the_file(tmp_path: Path) -> None:
    path = tmp_path / "known-servers"
    pins = Pins(path)
    pins.check(WHERE, KEY_A)
    assert not path.exists(), "nothing is pinned before the server has proved its key"
    pins.keep(WHERE, KEY_A)
    before = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    pins.check(WHERE, KEY_A)
    pins.keep(WHERE, KEY_A)
    for refuses in (pins.check, pins.keep):
        with pytest.raises(PinMismatch, match=WHERE):
            refuses(WHERE, KEY_B)
    assert path.read_bytes() == before


def test_what_the_file_held_stays(tmp_path: Path) -> None:
    path = tmp_path / "known-servers"
    path.write_text(f"# mine\nexample.org:443 {KEY_B.hex()}")  # without a last line break
    Pins(path).keep(WHERE, KEY_A)
    assert path.read_text() == f"# mine\nexample.org:443 {KEY_B.hex()}\n{WHERE} {KEY_A.hex()}\n"
    Pins(path).check("example.org:443", KEY_B)


def test_a_given_key_decides_alone(tmp_path: Path) -> None:
    path = tmp_path / "known-servers"
    path.write_text(f"{WHERE} {KEY_B.hex()}\n")
    pins = Pins(path, KEY_A.hex())
    pins.check(WHERE, KEY_A)
    pins.keep(WHERE, KEY_A)
    with pytest.raises(PinMismatch, match=f"shows key {KEY_B.hex()}, not the {KEY_A.hex()} of --server-key"):
        pins.check(WHERE, KEY_B)
    assert path.read_text() == f"{WHERE} {KEY_B.hex()}\n"


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "known-servers"
    real.touch()
    link.symlink_to(real)
    Pins(link).keep(WHERE, KEY_A)
    assert link.is_symlink()
    assert KEY_A.hex() in real.read_text()


@pytest.mark.parametrize("content", [b"nonsense\n", b"\xff\n", f"{WHERE} abc\n".encode()])
def test_an_unreadable_file_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "known-servers"
    path.write_bytes(content)
    with pytest.raises(BadFile, match="Cannot use"):
        Pins(path).check(WHERE, KEY_A)
    assert path.read_bytes() == content


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "known-servers"
    path.write_text("# mine\n")
    with full_disk(), pytest.raises(BadFile, match="Free some space"):
        Pins(path).keep(WHERE, KEY_A)
    assert path.read_text() == "# mine\n"
    assert os.listdir(tmp_path) == ["known-servers"]
