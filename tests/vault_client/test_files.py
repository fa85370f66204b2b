"""Files appear whole or not at all, and nothing is lost when they cannot."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vault_client.errors import FileError
from vault_client.files import check_can_write, read_small, whole_file, write_whole


@contextmanager
def full_disk(bytes_max: int) -> Iterator[None]:
    """No file of this process may grow beyond that: the system refuses in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    with whole_file(tmp_path / "x") as file:
        file.write(b"half")
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x").read_bytes() == b"half"
    assert names(tmp_path) == ["x"]


def test_nothing_is_left_when_the_block_fails(tmp_path: Path) -> None:
    def interrupted() -> None:
        with whole_file(tmp_path / "x") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []


@pytest.mark.parametrize("size", [5_000, 500_000])
def test_a_full_disk_leaves_nothing_behind_and_the_old_file_whole(size: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with full_disk(4_096), pytest.raises(FileError, match=r"Cannot write .*x: .*Raise the limit"):
        write_whole(tmp_path / "x", bytes(size), force=True)
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(FileError, match=r"exists already.*--force"):
        write_whole(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    def overtaken() -> None:
        with whole_file(tmp_path / "x") as file:
            file.write(b"ours")
            (tmp_path / "x").write_bytes(b"theirs")

    with pytest.raises(FileError, match="exists already"):
        overtaken()
    assert (tmp_path / "x").read_bytes() == b"theirs"
    assert names(tmp_path) == ["x"]


def test_a_dangling_link_is_no_free_name(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileError, match="exists already"):
        write_whole(tmp_path / "x", b"new")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing/x", "no such file or folder"),
        ("file/x", "a part of its path is no folder"),
        ("n" * 300, "name is too long"),
        ("folder", "no ordinary file"),
        ("/dev/full", "no ordinary file"),
    ],
)
def test_a_path_that_cannot_be_written_is_named_with_its_reason(path: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match=reason):
        write_whole(tmp_path / path, b"x", force=True)
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("path", ["missing/x", "file/x"])
def test_a_folder_is_tried_before_a_long_wait(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileError, match="Cannot write"):
        check_can_write(tmp_path / path)
    check_can_write(tmp_path / "x")
    assert names(tmp_path) == ["file"]


def test_a_small_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert read_small(tmp_path / "x", bytes_max=5) == b"12345"
    with pytest.raises(FileError, match="more than 4 bytes"):
        read_small(tmp_path / "x", bytes_max=4)


@pytest.mark.parametrize(("path", "reason"), [("missing", "no such file"), (".", "it is a folder")])
def test_a_file_that_cannot_be_read_is_named_with_its_reason(path: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=reason):
        read_small(tmp_path / path, bytes_max=5)
