"""The folder of checkpoints: two of each, the good one when one is damaged, never more than allowed."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path

import pytest

from tests.vault_solver.test_files import full_disk
from vault_solver.checkpoint import VERSION, bind, write
from vault_solver.pipe import Solve
from vault_solver.state import State
from vault_solver.store import UNTOUCHED_DAYS_MAX, Found, Store, Unwritable

N = (1 << 511) + 111
SERVER = "ab" * 32
BOUND = bind(SERVER, "cd" * 16, "ef" * 16, Solve(7, 1000, 3, N))
OTHER = bind(SERVER, "cd" * 16, "ff" * 16, Solve(71, 1000, 3, N))
FIRST, SECOND, THIRD = State(100, 5), State(200, 6), State(300, 7)
BYTES = len(write(BOUND, FIRST))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "state" / "checkpoints", 100 * BYTES)
    opened.open()
    return opened


@pytest.fixture
def folder(store: Store) -> Path:
    return store.folder


def names(folder: Path) -> list[str]:
    return sorted(path.name.removeprefix(BOUND.name) for path in folder.iterdir())


def test_the_last_two_are_kept_closed_to_others(store: Store, folder: Path) -> None:
    assert store.load(BOUND) == Found(None)
    for state in (FIRST, SECOND, THIRD):
        store.save(BOUND, state)
        assert store.load(BOUND) == Found(state)
    assert names(folder) == [".checkpoint", ".previous"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert store.bytes() == 2 * BYTES


def test_when_the_newest_is_damaged_the_one_before_is_used_and_survives(store: Store, folder: Path) -> None:
    store.save(BOUND, FIRST)
    store.save(BOUND, SECOND)
    newest = folder / f"{BOUND.name}.checkpoint"
    newest.write_bytes(newest.read_bytes()[:-1] + b"\0")
    found = store.load(BOUND)
    assert found.state == FIRST
    [(file, reason)] = found.refused
    assert file == newest.name
    assert "checksum" in reason
    store.save(BOUND, THIRD)
    assert store.load(BOUND) == Found(THIRD), "what was refused is refused once"
    assert names(folder) == [".checkpoint", ".previous", ".refused"]
    (folder / f"{BOUND.name}.checkpoint").unlink()
    assert store.load(BOUND) == Found(FIRST)


def test_after_going_back_from_a_newer_program_its_checkpoint_is_set_aside(store: Store, folder: Path) -> None:
    store.save(BOUND, FIRST)
    store.save(BOUND, SECOND)
    newest = folder / f"{BOUND.name}.checkpoint"
    raw = newest.read_bytes()
    newer = raw[:24] + (VERSION + 1).to_bytes(4, "big") + raw[28:-32]
    newest.write_bytes(newer + hashlib.sha256(newer).digest())
    found = store.load(BOUND)
    assert found.state == FIRST
    assert "format 3" in found.refused[0][1]
    assert (folder / f"{BOUND.name}.refused").read_bytes()[:-32] == newer, "for the newer program to be looked at"


def test_when_both_are_damaged_there_is_nothing(store: Store, folder: Path) -> None:
    store.save(BOUND, FIRST)
    store.save(BOUND, SECOND)
    for path in folder.iterdir():
        path.write_bytes(b"\0" * BYTES)
    found = store.load(BOUND)
    assert found.state is None
    assert len(found.refused) == 2


def test_one_of_another_puzzle_under_this_name_is_refused(store: Store, folder: Path) -> None:
    store.save(OTHER, FIRST)
    os.rename(folder / f"{OTHER.name}.checkpoint", folder / f"{BOUND.name}.checkpoint")
    found = store.load(BOUND)
    assert found.state is None
    assert "another puzzle" in found.refused[0][1]


def test_power_that_fails_between_two_renames_loses_nothing(store: Store, folder: Path) -> None:
    store.save(BOUND, FIRST)
    store.save(BOUND, SECOND)
    os.rename(folder / f"{BOUND.name}.checkpoint", folder / f"{BOUND.name}.previous")
    (folder / f"{BOUND.name}.new").write_bytes(write(BOUND, THIRD))
    assert store.load(BOUND) == Found(THIRD)
    store.save(BOUND, THIRD)
    assert names(folder) == [".checkpoint", ".previous"]


def test_an_assignment_that_ended_leaves_no_file_and_others_keep_theirs(store: Store, folder: Path) -> None:
    for bound in (BOUND, OTHER):
        store.save(bound, FIRST)
        store.save(bound, SECOND)
    store.remove("aa" * 32, 7)
    assert len(list(folder.iterdir())) == 4, "another server's"
    store.remove(SERVER, 7)
    assert sorted(folder.iterdir()) == sorted(folder / (OTHER.name + end) for end in (".checkpoint", ".previous"))


def test_a_full_disk_is_said_and_leaves_what_was_there(store: Store, folder: Path) -> None:
    store.save(BOUND, FIRST)
    with full_disk(), pytest.raises(Unwritable, match="too large") as full:
        store.save(BOUND, SECOND)
    assert "Free some space" in full.value.suggestion
    assert store.load(BOUND) == Found(FIRST)
    assert names(folder) == [".checkpoint"]


@pytest.mark.parametrize("path", ["file/below", "file"])
def test_a_folder_that_cannot_be_is_said(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    store = Store(tmp_path / path, 10**6)
    with pytest.raises(Unwritable, match="file") as refused:
        store.open()
    assert "--checkpoints" in refused.value.suggestion
    with pytest.raises(Unwritable):
        store.save(BOUND, FIRST)
    assert store.load(BOUND).state is None
    assert store.bytes() == 0
    store.remove(SERVER, 7)


def test_no_more_than_the_limit_is_ever_there(store: Store, folder: Path) -> None:
    exactly = Store(folder, 3 * BYTES)
    for state in (FIRST, SECOND, THIRD):
        exactly.save(BOUND, state)
    assert exactly.bytes() == 2 * BYTES
    with pytest.raises(Unwritable, match="more than") as full:
        Store(folder, 3 * BYTES - 1).save(BOUND, THIRD)
    assert "--disk-mib" in full.value.suggestion


def test_what_is_at_work_never_makes_room_and_what_was_left_behind_does(store: Store, folder: Path) -> None:
    store.save(OTHER, FIRST)
    store.save(OTHER, SECOND)
    store.save(BOUND, FIRST)
    crowded = Store(folder, 3 * BYTES)
    crowded.load(BOUND)
    crowded.save(BOUND, SECOND)  # the oldest of an assignment that nobody speaks of goes
    assert not (folder / f"{OTHER.name}.previous").exists()
    crowded.load(OTHER)
    with pytest.raises(Unwritable, match="more than"):
        crowded.save(BOUND, THIRD)
    assert crowded.bytes() == 3 * BYTES


def test_what_is_old_or_half_written_is_cleared_away_and_nothing_else(store: Store, folder: Path) -> None:
    store.save(BOUND, FIRST)
    store.save(OTHER, FIRST)
    long_ago = time.time() - (UNTOUCHED_DAYS_MAX + 1) * 86_400
    os.utime(folder / f"{OTHER.name}.checkpoint", (long_ago, long_ago))
    (folder / ".x.new.abc.part").touch()
    stranger = folder / "notes.txt"
    stranger.touch()
    os.utime(stranger, (long_ago, long_ago))
    Store(folder, 10**6).open()
    assert sorted(folder.iterdir()) == sorted([folder / f"{BOUND.name}.checkpoint", stranger])
