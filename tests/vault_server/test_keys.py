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

from vault_server.exchange.master_keys import KeyStore
from vault_server.keys import KeyFileError, identity_path, load_identity, load_master_keys, master_key_path


def load_key(database: Path) -> tuple[bytes, bool]:
    store, made = load_master_keys(database, None)
    [(version, key)] = store.read().items()
    assert version == 1
    return key, made


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
    store, made = load_master_keys(database, "ab" * 32)
    assert (store.read(), made) == ({1: b"\xab" * 32}, False)
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


# several versions of the master key

KEY_1, KEY_2, KEY_3 = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32


def key_file(database: Path, *lines: str) -> Path:
    path = master_key_path(database)
    path.touch(0o600)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def open_store(database: Path) -> KeyStore:
    return load_master_keys(database, None)[0]


@pytest.mark.parametrize(
    ("lines", "keys"),
    [
        ([KEY_1.hex()], {1: KEY_1}),
        ([KEY_1.hex().upper()], {1: KEY_1}),
        (["1:" + KEY_1.hex()], {1: KEY_1}),
        (["# a word", "", f"  2:{KEY_2.hex()}  ", KEY_1.hex()], {2: KEY_2, 1: KEY_1}),
        (["65535:" + KEY_1.hex()], {65535: KEY_1}),
    ],
)
def test_a_file_of_versions(database: Path, lines: list[str], keys: dict[int, bytes]) -> None:
    key_file(database, *lines)
    assert open_store(database).read() == keys


@pytest.mark.parametrize(
    "lines",
    [
        ["# nothing else"],
        ["0:" + KEY_1.hex()],
        ["65536:" + KEY_1.hex()],
        ["-1:" + KEY_1.hex()],
        ["01:" + KEY_1.hex()],
        ["2:" + KEY_2.hex(), "2:" + KEY_1.hex()],
        ["1:" + KEY_2.hex(), KEY_1.hex()],
        ["2:" + KEY_2.hex(), "1:" + KEY_1.hex()[1:]],
        ["2:" + KEY_2.hex() + ",1:" + KEY_1.hex()],
        ["2: " + KEY_2.hex()],
    ],
)
def test_a_file_with_one_line_amiss_is_refused_whole(database: Path, lines: list[str]) -> None:
    path = key_file(database, *lines)
    message = refused(lambda database: load_master_keys(database, None), database)
    assert str(path) in message
    assert "backup" in message
    assert KEY_1.hex()[1:] not in message
    assert KEY_2.hex() not in message


def test_versions_come_and_go_in_the_file(database: Path) -> None:
    path = key_file(database, KEY_1.hex())
    store = open_store(database)
    store.add(2, KEY_2)
    assert store.read() == open_store(database).read() == {1: KEY_1, 2: KEY_2}
    text = path.read_text().splitlines()
    assert text[0].startswith("# ")
    assert text[1:] == [f"2:{KEY_2.hex()}", f"1:{KEY_1.hex()}"], "the newest first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    store.drop([1])
    assert store.read() == open_store(database).read() == {2: KEY_2}
    assert KEY_1.hex() not in path.read_text()
    assert os.listdir(database.parent) == [path.name]


def test_dropping_twice_or_nothing_does_not_touch_the_file(database: Path) -> None:
    path = key_file(database, "2:" + KEY_2.hex())
    before = path.stat()
    store = open_store(database)
    store.drop([1])
    store.drop([])
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_the_last_key_is_never_dropped(database: Path) -> None:
    key_file(database, KEY_1.hex())
    with pytest.raises(AssertionError, match="never dropped"):
        open_store(database).drop([1])
    assert open_store(database).read() == {1: KEY_1}


@pytest.mark.parametrize("lines", [[], ["1:" + KEY_3.hex()], ["2:" + KEY_2.hex()]], ids=["gone", "another", "newer"])
def test_a_key_that_went_missing_from_the_file_is_noticed_before_it_is_written(
    database: Path, lines: list[str]
) -> None:
    path = key_file(database, KEY_1.hex())
    store = open_store(database)
    path.unlink()
    if lines:
        key_file(database, *lines)
    kept = path.read_text() if lines else None
    with pytest.raises(KeyFileError, match="backup"):
        store.add(3, KEY_3)
    with pytest.raises(KeyFileError, match="backup"):
        store.drop([7])
    assert (path.read_text() if path.exists() else None) == kept


def test_a_key_that_was_put_into_the_file_meanwhile_stays(database: Path) -> None:
    key_file(database, KEY_1.hex())
    store = open_store(database)
    key_file(database, KEY_1.hex(), "2:" + KEY_2.hex())
    store.add(3, KEY_3)
    assert open_store(database).read() == {1: KEY_1, 2: KEY_2, 3: KEY_3}


def test_a_full_disk_leaves_the_file_as_it_was(database: Path) -> None:
    path = key_file(database, KEY_1.hex())
    store = open_store(database)
    with full_disk(), pytest.raises(KeyFileError, match="cannot write"):
        store.add(2, KEY_2)
    assert path.read_text() == KEY_1.hex() + "\n"
    assert os.listdir(database.parent) == [path.name]
    store.add(2, KEY_2)
    assert store.read() == {1: KEY_1, 2: KEY_2}


def test_what_a_server_killed_while_writing_left_is_overwritten(database: Path) -> None:
    path = key_file(database, KEY_1.hex())
    half = path.with_name(path.name + ".next")
    half.write_text(KEY_3.hex())
    half.chmod(0o666)
    open_store(database).add(2, KEY_2)
    assert open_store(database).read() == {1: KEY_1, 2: KEY_2}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(database.parent) == [path.name]


def test_a_link_to_a_key_file_stays_a_link(database: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = key_file(elsewhere / "vault.db", KEY_1.hex())
    master_key_path(database).symlink_to(path)
    open_store(database).add(2, KEY_2)
    assert master_key_path(database).is_symlink()
    assert open_store(elsewhere / "vault.db").read() == {1: KEY_1, 2: KEY_2}


def test_keys_from_the_environment(database: Path) -> None:
    store, made = load_master_keys(database, f"2:{KEY_2.hex()},1:{KEY_1.hex()}")
    assert (store.read(), made) == ({1: KEY_1, 2: KEY_2}, False)
    with pytest.raises(KeyFileError) as caught:
        store.add(3, KEY_3)
    message = str(caught.value)
    assert "VAULT_MASTER_KEY=3:<new key>,2:<key of now>" in message
    assert not any(key.hex() in message for key in (KEY_1, KEY_2, KEY_3))
    store.drop([1])
    assert store.read() == {1: KEY_1, 2: KEY_2}, "they are not the server's to drop"
    assert os.listdir(database.parent) == []


@pytest.mark.parametrize(
    "text", [f"1:{'ab' * 32},1:{'ab' * 32}", f"65536:{'ab' * 32}", f"{'ab' * 32},1:{'cd' * 32}", "ab"]
)
def test_keys_from_the_environment_that_make_no_sense(database: Path, text: str) -> None:
    message = refused(lambda database: load_master_keys(database, text), database)
    assert "VAULT_MASTER_KEY" in message
    assert "ab" * 32 not in message


def test_a_database_that_has_lost_its_identity_is_given_no_other(database: Path) -> None:
    load_identity(database)
    database.touch()
    load_identity(database)
    identity_path(database).unlink()
    assert "restore it from a backup; peers have pinned it" in refused(load_identity, database)
    assert not identity_path(database).exists()
