"""What is committed, and what of it is on disk: while the disk takes one transaction in, the next one is being run.

SQLite shows a commit to readers, and lets the next one begin, before it is on disk (`synchronous = NORMAL`); its log is
flushed here instead. Nothing of a commit leaves the process that writes before it is on disk, and whoever reads
meanwhile waits until what he may have seen is (`Commits`).
"""

from __future__ import annotations

import mmap
import os
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

flush_to_disk: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
"""Of a descriptor: what was written to its file survives the machine's end. Raises OSError."""


class Commits:
    """How many commits the writer has begun: shared memory of two processes, made before the fork."""

    def __init__(self) -> None:
        self._begun = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")

    @property
    def begun(self) -> int:
        """No view of the database that was taken before this was asked shows more than so many."""
        return self._begun[0]

    def begin(self) -> None:
        """The writer is about to commit."""
        self._begun[0] += 1


class WriteAheadLog:
    """Flushes the log of a database file, in a thread of its own, and then has the reports of what is in it sent.

    `committed` and `report` come in turns. If the disk fails, nobody knows what it holds, and asking again would be
    answered with success: the process ends at once, and what was not reported is in doubt.
    """

    def __init__(self, database: Path, send: Callable[[bytes], None]) -> None:
        self._descriptor = os.open(database.with_name(database.name + "-wal"), os.O_RDWR | os.O_CLOEXEC)
        _flush_folder_of(database)
        self._send = send
        self._commits: SimpleQueue[bool] = SimpleQueue()
        self._reports: SimpleQueue[bytes] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="flush")
        self._thread.start()

    def committed(self) -> None:
        """A transaction is over. Flushing begins; its report is still to come."""
        self._commits.put(True)

    def report(self, report: bytes) -> None:
        """What is sent when the transaction is on disk."""
        self._reports.put(report)

    def close(self) -> None:
        """Done when all is on disk and sent."""
        self._commits.put(False)
        self._thread.join()
        os.close(self._descriptor)

    def _run(self) -> None:
        try:
            is_open = True
            while is_open:
                is_open, commits = self._waiting()
                if commits:
                    flush_to_disk(self._descriptor)
                for _ in range(commits):
                    self._send(self._reports.get())
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _waiting(self) -> tuple[bool, int]:
        """Whether more will come, and how many transactions are over: one flush is enough for all of them."""
        commits = 0
        while self._commits.get():
            commits += 1
            if self._commits.empty():
                return True, commits
        return False, commits


def _flush_folder_of(database: Path) -> None:
    """For the name of the log: SQLite sees to that where the log was made, which may have been in another process."""
    folder = os.open(database.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
