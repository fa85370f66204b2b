"""The server's key files: made once, closed to others, never replaced, and missed when they are gone."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vault_server.keys import KeyFileError, identity_path, load_identity, load_master_key, master_key_path


def load_key(database: Path) -> tuple[bytes, bool]:
    return load_master_key(database, None)


LOADERS = [
    pytest.param(load_key, master_key_path, id="master-key"),
    pytest.param(load_identity, identity_path, id="identity"),
]

Load = Callable[[Path], tuple[Any, bool]]
Place = Callable[[Path], Path]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a database would be; there is none."""
    return tmp_path / "vault.db"


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond eight bytes: the system refuses the write, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refused(load: Load, database: Path) -> str:
    with pytest.raises(KeyFileError) as caught:
        load(database)
    return str(caught.value)


def test_they_stand_beside_the_database() -> None:
    assert master_key_path(Path("a/vault.db")) == Path("a/vault.db.master-key")
    assert identity_path(Path("a/vault.db")) == Path("a/vault.db.identity")


@pytest.mark.parametrize(("load", "place"), LOADERS)
def test_a_key_is_made_once_and_closed_to_others(database: Path, load: Load, place: Place) -> None:
    previous = os.umask(0)
    try:
        _, made = load(database)
    finally:
        os.umask(previous)
    assert made
    assert stat.S_IMODE(place(database).stat().st_mode) == 0o600
    assert os.listdir(database.parent) == [place(database).name]
    content = place(database).read_bytes()
    _, made_again = load(database)
    assert not made_again
    assert place(database).read_bytes() == content


def test_the_same_key_comes_back(database: Path) -> None:
    key, _ = load_key(database)
    assert load_key(database) == (key, False)
    assert len(key) == 32
    identity, _ = load_identity(database)
    assert load_identity(database)[0].hotkey == identity.hotkey


def test_two_databases_have_different_keys(database: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    assert load_key(database)[0] != load_key(other)[0]
    assert load_identity(database)[0].hotkey != load_identity(other)[0].hotkey


@pytest.mark.parametrize(("load", "place"), LOADERS)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o601, 0o620, 0o666, 0o777])
def test_a_key_that_others_can_read_is_refused(database: Path, load: Load, place: Place, mode: int) -> None:
    load(database)
    place(database).chmod(mode)
    message = refused(load, database)
    assert f"chmod 600 {place(database)}" in message


@pytest.mark.parametrize(("load", "place"), LOADERS)
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_that_only_its_owner_can_read_is_good(database: Path, load: Load, place: Place, mode: int) -> None:
    load(database)
    place(database).chmod(mode)
    assert load(database)[1] is False


def test_a_database_without_its_master_key_gets_no_new_one(database: Path) -> None:
    database.touch()
    message = refused(load_key, database)
    assert str(master_key_path(database)) in message
    assert "VAULT_MASTER_KEY" in message
    assert not master_key_path(database).exists()


def test_a_key_from_the_environment_needs_no_file(database: Path) -> None:
    database.touch()
    assert load_master_key(database, "ab" * 32) == (b"\xab" * 32, False)
    assert not master_key_path(database).exists()


@pytest.mark.parametrize(("load", "place"), LOADERS)
@pytest.mark.parametrize("content", [b"", b"hello\n", b"ab" * 31, b"ab" * 33, b"\xff\xfe\x00", b"zz" * 32])
def test_a_file_that_is_no_key_is_refused_and_kept(database: Path, load: Load, place: Place, content: bytes) -> None:
    place(database).touch(0o600)
    place(database).write_bytes(content)
    message = refused(load, database)
    assert str(place(database)) in message
    assert "backup" in message
    assert content == b"" or content.decode("latin-1").strip() not in message
    assert place(database).read_bytes() == content


@pytest.mark.parametrize(("load", "place"), LOADERS)
@pytest.mark.parametrize("folder", ["missing", "file", "/proc"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, load: Load, place: Place, folder: str) -> None:
    (tmp_path / "file").touch()
    database = tmp_path / folder / "vault.db"
    message = refused(load, database)
    assert str(place(database)) in message
    assert "--database" in message


@pytest.mark.parametrize(("load", "place"), LOADERS)
def test_a_folder_in_place_of_the_key_is_refused(database: Path, load: Load, place: Place) -> None:
    place(database).mkdir(0o700)
    assert str(place(database)) in refused(load, database)


@pytest.mark.parametrize(("load", "place"), LOADERS)
def test_a_full_disk_leaves_no_half_of_a_key(database: Path, load: Load, place: Place) -> None:
    with full_disk():
        message = refused(load, database)
    assert str(place(database)) in message
    assert os.listdir(database.parent) == []
    assert load(database)[1] is True


@pytest.mark.parametrize(("load", "place"), LOADERS)
def test_a_key_that_appears_meanwhile_is_not_replaced(
    database: Path, load: Load, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def somebody_is_faster(source: Path, target: Path) -> None:
        target.write_bytes(b"theirs")
        real(source, target)

    monkeypatch.setattr(os, "link", somebody_is_faster)
    assert str(place(database)) in refused(load, database)
    assert place(database).read_bytes() == b"theirs"
    assert os.listdir(database.parent) == [place(database).name]


@pytest.mark.parametrize(("load", "place"), LOADERS)
def test_what_a_killed_server_left_half_made_does_not_hinder_the_next(database: Path, load: Load, place: Place) -> None:
    pid = os.getpid()  # in a container the same again
    for name in (f"{place(database).name}.{pid}.new", f"{place(database).name}.new"):
        place(database).with_name(name).write_bytes(b"half")
    assert load(database)[1] is True
    assert load(database)[1] is False
