"""Stories of a database that another process writes: `python -m tests.vault_server.storage.forked NAME FOLDER`.

Each is run by an interpreter of its own, since a process is forked before there are threads.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from protocol.errors import Code
from tests.vault_server.storage.rows import NOTES, sql
from vault_server.core.operation import LogEvent, Reader, Refusal, Transaction
from vault_server.storage import commits
from vault_server.storage.database import StorageError, Work
from vault_server.storage.sqlite import SqliteDatabase

Story = Callable[[SqliteDatabase, "Watch", Path], Awaitable[None]]

COUNT = sql("SELECT count(*) AS notes FROM notes")
NOTE = sql("INSERT INTO notes (number) VALUES (:number)")


class Watch:
    """Tells what it has been told, and how many notes there are."""

    def __init__(self) -> None:
        self.to_tell = 0
        self.learned: list[Any] = []
        self.seen: list[Any] = []

    def news(self) -> int:
        self.to_tell += 1
        return self.to_tell

    def learn(self, news: int) -> None:
        self.learned.append(news)

    def look(self, reader: Reader) -> tuple[int, int, list[int]]:
        return os.getpid(), _count(reader), self.learned

    def saw(self, seen: Any) -> None:
        self.seen.append(seen)


class Wrong(Exception):
    """A defect that cannot be pickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def note(tx: Transaction, number: int) -> int:
    tx.insert(NOTE, number=number)
    tx.after(LogEvent("note.written", {"number": number}))
    return os.getpid()


def refuse(_tx: Transaction) -> None:
    raise Refusal(Code.RATE_LIMITED, "Too much.", "Wait.", retry_after_ms=7)


def fail(tx: Transaction) -> None:
    note(tx, 77)
    raise Wrong("a ", "defect")


def answer_with_a_function(tx: Transaction) -> Any:
    note(tx, 5)
    return lambda: tx


def count(tx: Transaction) -> int:
    return _count(tx)


def make_notes(tx: Transaction) -> None:
    tx.run(NOTES)


def write_slowly(tx: Transaction, number: int, started: Path) -> None:
    note(tx, number)
    started.touch()
    time.sleep(30)


def _count(reader: Reader) -> int:
    row = reader.one(COUNT)
    assert row is not None
    return int(row["notes"])


def writers() -> list[psutil.Process]:
    return psutil.Process().children()  # type: ignore[no-any-return]


async def batches(database: SqliteDatabase, watch: Watch, folder: Path) -> None:
    [writer] = writers()
    [made] = await database.transact([make_notes])
    assert made.error is None
    database.listen(watch)
    one, refused, failed, two = await database.transact(
        [partial(note, number=1), refuse, fail, partial(note, number=2)]
    )
    assert one.value == two.value == writer.pid != os.getpid()
    assert [one.effects, failed.effects, two.effects] == [
        [LogEvent("note.written", {"number": n})] if n else [] for n in (1, 0, 2)
    ]
    assert isinstance(refused.error, Refusal)
    assert (refused.error.code, refused.error.message, refused.error.suggestion) == (
        Code.RATE_LIMITED,
        "Too much.",
        "Wait.",
    )
    assert refused.error.retry_after_ms == 7
    assert "Wrong" in str(failed.error)
    assert "in fail" in "".join(failed.error.__notes__)  # type: ignore[union-attr]
    assert watch.seen == [(writer.pid, 2, [1])]
    assert watch.learned == [], "the other process has a copy"
    assert await database.read(_count) == 2
    # What cannot cross is a defect of its own work alone; it is on disk all the same.
    strange, usual = await database.transact([answer_with_a_function, count])
    assert "answer_with_a_function.<locals>" in str(strange.error)
    assert (usual.value, usual.error) == (3, None)
    assert watch.seen[1:] == [None], "the pump has to read for itself"
    # As many as there are: each in its order, what has arrived together in one transaction.
    many = [database.transact([partial(note, number=10 + n), count]) for n in range(50)]
    results = await asyncio.gather(*many)
    assert [outcomes[1].value for outcomes in results] == list(range(4, 54))
    assert 2 < len(watch.seen) < 50
    assert watch.seen[-1] == (writer.pid, 53, list(range(1, 53)))
    assert (folder / "vault.db-wal").stat().st_size > 0
    assert await database.transact([]) == []
    await database.stop()
    assert writers() == []
    assert not (folder / "vault.db-wal").exists(), "who closes last folds the log into the file"


async def flushed(database: SqliteDatabase, watch: Watch, folder: Path) -> None:
    """Nothing is said of a commit, and nothing of it is read, before the disk has it; the next one is run meanwhile."""
    await database.transact([make_notes])
    with _the_disk_stands_still(folder) as other:
        writing = asyncio.create_task(database.transact([partial(note, number=1)]))
        await asyncio.to_thread(_until_there, folder / "flushing")
        assert other.execute("SELECT count(*) FROM notes").fetchone()[0] == 1, "SQLite has committed it"
        reading = asyncio.create_task(database.read(_count))
        behind = asyncio.create_task(database.transact([partial(note, number=2), count]))
        await asyncio.to_thread(_until_two, folder / "vault.db")
        await asyncio.sleep(0.1)
        assert [one.done() for one in (writing, reading, behind)] == [False] * 3
    assert (await writing)[0].error is None
    assert await reading in (1, 2)
    assert (await behind)[1].value == 2
    assert await database.read(_count) == 2
    assert set((folder / "flushed").read_text().splitlines()) == {str(folder / "vault.db-wal")}


async def disk_failed(database: SqliteDatabase, watch: Watch, folder: Path) -> None:
    """What was not flushed is in doubt: the process ends, and does not ask the disk again."""
    await database.transact([make_notes])
    assert database.lost is not None
    with _the_disk_stands_still(folder):
        writing = asyncio.create_task(database.transact([partial(note, number=1)]))
        await asyncio.to_thread(_until_there, folder / "flushing")
        reading = asyncio.create_task(database.read(_count))
        await asyncio.sleep(0.1)
        (folder / "broken").touch()
    [outcome] = await writing
    assert isinstance(outcome.error, StorageError)
    assert outcome.error.in_doubt
    with pytest.raises(StorageError, match="has ended"):
        await reading
    assert (await database.lost).endswith("exit code 1")


async def killed(database: SqliteDatabase, watch: Watch, folder: Path) -> None:
    await database.transact([make_notes])
    assert database.lost is not None
    writing = [asyncio.create_task(database.transact([partial(write_slowly, number=1, started=folder / "started")]))]
    await asyncio.to_thread(_until_there, folder / "started")
    writing.append(asyncio.create_task(database.transact([partial(note, number=2), count])))
    await asyncio.sleep(0.05)
    assert not database.lost.done()
    [writer] = writers()
    os.kill(writer.pid, signal.SIGKILL)
    outcomes = [outcome for outcomes in await asyncio.gather(*writing) for outcome in outcomes]
    assert [type(outcome.error) for outcome in outcomes] == [StorageError] * 3
    assert all(outcome.error.in_doubt for outcome in outcomes if isinstance(outcome.error, StorageError))
    assert f"process {writer.pid} ended with exit code -9" == await database.lost
    [refused] = await database.transact([count])
    assert isinstance(refused.error, StorageError)
    assert not refused.error.in_doubt
    assert await database.read(_count) == 0, "what was not committed is not there"
    await database.stop()
    await database.stop()


async def linked(database: SqliteDatabase, watch: Watch, folder: Path) -> None:
    """The log and the claim are the file's, whatever name it is given."""
    for work in (make_notes, partial(note, number=1)):
        [outcome] = await database.transact([work])
        assert outcome.error is None
    assert await database.read(_count) == 1
    file = folder / "elsewhere" / "vault.db"
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StorageError, match="another server is using it"):
        await SqliteDatabase(file).start()


async def unused(database: SqliteDatabase, watch: Watch, folder: Path) -> None:
    assert len(writers()) == 1
    await database.stop()
    assert writers() == []


def main(name: str, folder: Path) -> None:
    """Run one story on a database in that folder."""
    if name == "linked":
        (folder / "elsewhere").mkdir()
        (folder / "vault.db").symlink_to("elsewhere/vault.db")
    database, watch = SqliteDatabase(folder / "vault.db"), Watch()
    if name == "unstarted":
        database.fork(watch, _as_it_is, _nothing)
        asyncio.run(database.stop())
        assert writers() == []
        return
    stories: dict[str, Story] = {
        "batches": batches, "flushed": flushed, "disk_failed": disk_failed, "killed": killed, "linked": linked,
        "unused": unused,
    }  # fmt: skip
    commits.flush_to_disk = partial(_flush, folder, commits.flush_to_disk)
    began = folder / "began"
    database.fork(watch, _as_it_is, began.touch)

    async def tell() -> None:
        await database.start()
        try:
            await stories[name](database, watch, folder)
        finally:
            await database.stop()

    asyncio.run(tell())
    assert began.exists()


def _flush(folder: Path, flush: Callable[[int], None], descriptor: int) -> None:
    """As the server does, when the disk stands still no more."""
    if (folder / "still").exists():
        (folder / "flushing").touch()
        while (folder / "still").exists():
            time.sleep(0.01)
    if (folder / "broken").exists():
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    flush(descriptor)
    with (folder / "flushed").open("a") as names:
        names.write(str(Path(f"/proc/self/fd/{descriptor}").readlink()) + "\n")


@contextmanager
def _the_disk_stands_still(folder: Path) -> Iterator[sqlite3.Connection]:
    """Gives somebody else's connection to the same file."""
    (folder / "still").touch()
    with closing(sqlite3.connect(folder / "vault.db")) as other:
        yield other
    (folder / "still").unlink()


def _until_two(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        while other.execute("SELECT count(*) FROM notes").fetchone()[0] < 2:
            time.sleep(0.01)


def _until_there(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def _as_it_is(work: Work) -> Work:
    return work


def _nothing() -> None:
    pass


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
