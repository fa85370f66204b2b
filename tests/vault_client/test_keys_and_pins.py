"""The client's key, and the servers it trusts."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.address import PinMismatch
from vault_client.errors import FileError, ServerNotTrusted
from vault_client.keyfile import config_folder, load_or_make_key, make_key, read_key
from vault_client.pins import Pins

HERE = "127.0.0.1:8765"
KEY, OTHER = bytes(range(32)), bytes(32)


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "config" / "vault" / "client.key"
    first = load_or_make_key(path)
    assert load_or_make_key(path).public_key == first.public_key
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_key_is_not_replaced_unasked(tmp_path: Path) -> None:
    first = make_key(tmp_path / "k")
    with pytest.raises(FileError, match="exists already"):
        make_key(tmp_path / "k")
    assert read_key(tmp_path / "k").public_key == first.public_key
    assert make_key(tmp_path / "k", force=True).public_key != first.public_key


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"-----BEGIN PRIVATE KEY-----\nsecret\n")
    with pytest.raises(FileError, match="no unencrypted private key") as caught:
        read_key(tmp_path / "k")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "expected"), [("/x", "/x/vault"), ("", "{home}/.config/vault"), ("relative", "{home}/.config/vault")]
)
def test_the_folder_follows_xdg(given: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", given)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(config_folder()) == expected.format(home=tmp_path)


def test_a_server_is_trusted_on_first_use_and_held_to_its_key(tmp_path: Path) -> None:
    path = tmp_path / "config" / "known-servers"
    first = Pins(None, path)
    first.check(HERE, KEY)
    assert not path.exists(), "nothing is written before the server has proved its key"
    first.remember(HERE, KEY)
    first.remember(HERE, KEY)
    assert path.read_text() == f"{HERE} {KEY.hex()}\n"
    second = Pins(None, path)
    second.check(HERE, KEY)
    with pytest.raises(PinMismatch):
        second.check(HERE, OTHER)


def test_without_a_file_the_first_key_holds_for_the_connection() -> None:
    pins = Pins(None, None)
    pins.check(HERE, KEY)
    pins.remember(HERE, KEY)
    pins.check(HERE, KEY)
    with pytest.raises(PinMismatch):
        pins.check(HERE, OTHER)


def test_the_given_key_decides_alone(tmp_path: Path) -> None:
    path = tmp_path / "known-servers"
    path.write_text(f"{HERE} {OTHER.hex()}\n")
    pins = Pins(KEY.hex().upper(), path)
    pins.check(HERE, KEY)
    pins.remember(HERE, KEY)
    with pytest.raises(ServerNotTrusted, match=f"shows key {OTHER.hex()}, not {KEY.hex()} "):
        pins.check(HERE, OTHER)
    assert path.read_text() == f"{HERE} {OTHER.hex()}\n"


@pytest.mark.parametrize("given", ["", "abc", "g" * 64])
def test_a_given_key_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(FileError, match="64 hex digits"):
        Pins(given, None)


def test_a_line_without_its_end_is_not_run_into(tmp_path: Path) -> None:
    path = tmp_path / "known-servers"
    path.write_text(f"other:1 {OTHER.hex()}")
    Pins(None, path).remember(HERE, KEY)
    assert path.read_text() == f"other:1 {OTHER.hex()}\n{HERE} {KEY.hex()}\n"


@pytest.mark.parametrize("content", [b"only-one-word\n", b"\xff\xfe"])
def test_a_known_servers_file_that_cannot_be_read_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "known").write_bytes(content)
    with pytest.raises(FileError, match="Cannot use"):
        Pins(None, tmp_path / "known").check(HERE, KEY)


def test_a_known_servers_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileError, match="Cannot write"):
        Pins(None, tmp_path / "file" / "known").remember(HERE, KEY)
