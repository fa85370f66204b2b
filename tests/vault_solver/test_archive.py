"""Answers that went out without a proof: found again as long as somebody may complain, never more than allowed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from protocol.prover import kept_indices
from vault_solver.archive import DISK_SHARE, FILES_MAX, Answered, Archive
from vault_solver.checkpoint import bind
from vault_solver.pipe import Solve
from vault_solver.state import State
from vault_solver.store import Store, Unwritable

N = (1 << 511) + 111
SERVER, SOLVER, TASK = "ab" * 32, "cd" * 16, "ef" * 16
T = 200_000
STATE = State(T, 99, tuple((mark, 7) for mark in kept_indices(T, 3)))
NOW = 1_000_000


def answered(assignment: int = 7, until_ms: int = NOW + 1000, state: State | None = STATE) -> Answered:
    return Answered(Solve(assignment, T, 3, N, state), TASK, 99, until_ms)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "checkpoints", 2**20)
    opened.open()
    return opened


def files(store: Store) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


@pytest.mark.parametrize("state", [STATE, None])
def test_what_is_kept_is_found_with_its_residues(store: Store, state: State | None) -> None:
    archive = Archive(store, SOLVER)
    archive.keep(SERVER, answered(state=state), NOW)
    assert archive.find(SERVER, 7) == answered(state=state)
    assert [archive.find(SERVER, 70), archive.find("ac" * 32, 7)] == [None, None]
    [path] = store.folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert str(T) not in path.name


def test_another_keys_and_a_damaged_one_are_not_found(store: Store) -> None:
    Archive(store, SOLVER).keep(SERVER, answered(), NOW)
    assert Archive(store, "dd" * 16).find(SERVER, 7) is None
    [path] = store.folder.iterdir()
    raw = path.read_bytes()
    for damaged in (b"", raw[:60], raw[:-1], raw[:100] + bytes([raw[100] ^ 1]) + raw[101:]):
        path.write_bytes(damaged)
        assert Archive(store, SOLVER).find(SERVER, 7) is None


def test_the_end_of_an_assignment_leaves_it_and_the_end_of_its_time_does_not(store: Store) -> None:
    archive = Archive(store, SOLVER)
    archive.keep(SERVER, answered(), NOW)
    store.remove(SERVER, 7)
    assert archive.find(SERVER, 7) is not None
    archive.keep(SERVER, answered(8, NOW + 5000), NOW + 999)
    assert archive.find(SERVER, 7) is not None
    archive.keep(SERVER, answered(9, NOW + 5000), NOW + 1000)
    assert [archive.find(SERVER, number) is None for number in (7, 8, 9)] == [True, False, False]


def test_there_are_never_more_than_so_many_and_those_that_end_first_go(store: Store) -> None:
    archive = Archive(store, SOLVER, files_max=3)
    for number, until_ms in ((1, 30), (2, 10), (3, 20)):
        archive.keep(SERVER, answered(number, NOW + until_ms), NOW)
    assert len(files(store)) == 3
    archive.keep(SERVER, answered(4, NOW + 40), NOW)
    assert [archive.find(SERVER, number) is None for number in (1, 2, 3, 4)] == [False, True, False, False]
    assert FILES_MAX == 256


def test_they_never_have_more_than_their_share_of_the_disk(tmp_path: Path, store: Store) -> None:
    Archive(store, SOLVER).keep(SERVER, answered(), NOW)
    size = store.bytes()
    exactly = Store(tmp_path / "exactly", int(2 * size / DISK_SHARE))
    exactly.open()
    for number in (1, 2, 3):
        Archive(exactly, SOLVER).keep(SERVER, answered(number, NOW + number), NOW)
        assert exactly.bytes() == min(number, 2) * size
    too_small = Store(tmp_path / "small", int(size / DISK_SHARE) - 1)
    too_small.open()
    with pytest.raises(Unwritable) as refused:
        Archive(too_small, SOLVER).keep(SERVER, answered(), NOW)
    assert "--disk-mib" in refused.value.suggestion
    assert files(too_small) == []


def test_checkpoints_of_work_in_hand_come_first(tmp_path: Path) -> None:
    job = dataclasses.replace(answered().job, state=None)
    bound = bind(SERVER, SOLVER, TASK, job)
    store = Store(tmp_path / "checkpoints", 10_000)
    store.open()
    archive = Archive(store, SOLVER)
    archive.keep(SERVER, answered(1), NOW)
    large = State(T, 99, tuple((mark, 7) for mark in kept_indices(T, 6)))
    store.save(bound, large)
    assert archive.find(SERVER, 1) is not None
    store.save(bound, large)
    assert archive.find(SERVER, 1) is None, "it has made room"
    assert store.load(bound).state == large
