"""Looking at a database file: beside a server, after a crash, where nothing may be written; and at other files."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.vault_server.storage.rows import sql
from vault_server.core.operation import Reader
from vault_server.storage.database import StorageError
from vault_server.storage.schema import SCHEMA_VERSION, sqlite_script
from vault_server.storage.snapshot import snapshot, soundness, violations
from vault_server.storage.sqlite import SqliteDatabase

INSERT = "INSERT INTO meta (name, value) VALUES ('x', 'y')"
COUNT = sql("SELECT count(*) AS number FROM meta WHERE name = 'x'")


def made(path: Path) -> sqlite3.Connection:
    """A file as a server makes it, still open."""
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.executescript(f"{sqlite_script()}; PRAGMA user_version = {SCHEMA_VERSION};")
    return raw


def count(path: Path) -> int:
    with snapshot(path) as reader:
        row = reader.one(COUNT)
    assert row is not None
    number: int = row["number"]
    return number


def faults(reader: Reader) -> list[str]:
    return [found for invariant in soundness() for found in violations(reader, invariant, 100)]


def test_it_sees_one_moment_while_somebody_writes(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    with closing(made(path)) as writer, snapshot(path) as reader:
        assert reader.one(COUNT) is not None
        writer.execute(INSERT)
        row = reader.one(COUNT)
        assert row is not None
        assert row["number"] == 0
        assert count(path) == 1


def test_what_a_killed_server_left_in_its_log_is_seen(tmp_path: Path) -> None:
    path, copy = tmp_path / "v.db", tmp_path / "copy.db"
    with closing(made(path)) as writer:
        writer.execute(INSERT)
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")
    assert count(copy) == 1


def test_nothing_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    made(path).close()
    with pytest.raises(StorageError, match="readonly"), snapshot(path) as reader:
        reader.all(sql(INSERT))


def as_somebody_else(program: str) -> subprocess.CompletedProcess[str]:
    """Run it as a user that owns nothing; as oneself when one is not root."""
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    command = [*nobody, sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="vault-snapshot-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_folder_where_nothing_may_be_written_can_be_looked_at(open_folder: Path) -> None:
    path = open_folder / "v.db"
    made(path).close()
    path.chmod(0o444)
    open_folder.chmod(0o555)
    if os.geteuid() == 0 and (shutil.which("setpriv") is None or as_somebody_else("import structlog").returncode):
        pytest.skip("nobody else can run this interpreter")
    looked = as_somebody_else(f"import pathlib, {__name__} as t; print(t.count(pathlib.Path({str(path)!r})))")
    assert looked.stdout == "0\n", looked.stderr


def test_a_file_of_somebody_else_is_named_with_its_owner(open_folder: Path) -> None:
    path = open_folder / "v.db"
    made(path).close()
    path.chmod(0o000)
    if os.geteuid() == 0 and (shutil.which("setpriv") is None or as_somebody_else("import structlog").returncode):
        pytest.skip("nobody else can run this interpreter")
    looked = as_somebody_else(f"import pathlib, {__name__} as t; print(t.count(pathlib.Path({str(path)!r})))")
    assert f"{path} belongs to {path.owner()} and you may not read it" in looked.stderr


def other_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE recipes (name TEXT)")


def newer(path: Path) -> None:
    with closing(made(path)) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


def older(path: Path) -> None:
    with closing(made(path)) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 1}")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "there is no database .*v.db; name the file with --database"),
        (lambda path: path.mkdir(), "is no file"),
        (lambda path: path.write_bytes(b""), "no database of a vault server"),
        (lambda path: path.write_bytes(b"hello" * 1000), "cannot be read as a database"),
        (other_program, "no database of a vault server"),
        (newer, f"schema version {SCHEMA_VERSION + 1}, this program knows {SCHEMA_VERSION}"),
        (older, f"schema version {SCHEMA_VERSION - 1}, this program knows {SCHEMA_VERSION}"),
    ],
    ids=["missing", "a folder", "empty", "a letter", "of another program", "newer", "older"],
)
def test_other_files_are_refused_and_left_alone(tmp_path: Path, make: Callable[[Path], None], says: str) -> None:
    path = tmp_path / "v.db"
    make(path)
    before = {entry.name: entry.is_file() and entry.read_bytes() for entry in tmp_path.iterdir()}
    with pytest.raises(StorageError, match=says), snapshot(path):
        pass
    assert {
        entry.name: entry.is_file() and entry.read_bytes() for entry in tmp_path.iterdir()
    }.items() >= before.items()


async def test_a_sound_file_and_a_row_that_points_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    database = SqliteDatabase(path)
    await database.start()
    await database.stop()
    with snapshot(path) as reader:
        assert faults(reader) == []
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("INSERT INTO clients (client_id) VALUES ('nobody')")
    with snapshot(path) as reader:
        assert faults(reader) == ["clients row 1 points into participants, where there is no such row"]


def test_an_index_that_lost_its_rows_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    with closing(made(path)) as raw:
        raw.execute("INSERT INTO deadlines (name, subject, due) VALUES ('x', 'y', 1)")
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute(
            "UPDATE sqlite_schema SET sql = 'CREATE INDEX deadlines_due ON deadlines (name)' "
            "WHERE name = 'deadlines_due'"
        )
    with snapshot(path) as reader:
        assert any("deadlines_due" in fault for fault in faults(reader))


def test_a_torn_page_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    made(path).close()
    raw = bytearray(path.read_bytes())
    raw[5 * 4096 : 6 * 4096] = os.urandom(4096)
    path.write_bytes(raw)
    with snapshot(path) as reader:
        assert faults(reader)
