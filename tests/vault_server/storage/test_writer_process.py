"""The writer as a process of its own: the same contract, what crosses, and what becomes of it when one of them ends."""

from __future__ import annotations

import asyncio
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import Code
from tests.processes import environment
from vault_server.core.operation import Reader, Refusal
from vault_server.storage.commits import Commits
from vault_server.storage.database import Outcome, StorageError
from vault_server.storage.writer_process import WriterProcess, _frame, _Report, _Results

ROOT = Path(__file__).parents[3]


class Told:
    """A lookout that keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def news(self) -> None:
        return None

    def learn(self, news: None) -> None:
        pass

    def look(self, reader: Reader) -> None:
        pass

    def saw(self, seen: Any) -> None:
        self.seen.append(seen)


class Mute(asyncio.Transport):
    """Nobody reads what is written."""

    def write(self, data: object) -> None:
        pass

    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize("story", ["batches", "flushed", "killed", "linked", "unused", "unstarted"])
def test_another_process_writes(story: str, tmp_path: Path) -> None:
    ended = _tell(story, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_disk_that_fails_ends_it(tmp_path: Path) -> None:
    ended = _tell("disk_failed", tmp_path)
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (0, "OSError: [Errno 5] Input/output error")


def _tell(story: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.vault_server.storage.forked", story, folder],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_refusals_and_storage_errors_cross_whole() -> None:
    refusal = Refusal(Code.BANNED, "You are banned.", "Wait.", retry_after_ms=1234)
    error = StorageError("the disk is full", full=True, in_doubt=True)
    for sent in (refusal, error):
        got = pickle.loads(pickle.dumps(sent))
        assert type(got) is type(sent)
        assert str(got) == str(sent)
        assert vars(got) == vars(sent)


async def test_what_is_seen_behind_a_transaction_is_not_told_with_the_answer_to_the_one_before() -> None:
    """Its own replies come first; the pump is woken for every batch that is answered."""
    with socket.socket() as unused:
        process, told = WriterProcess(0, unused, Commits()), Told()
    process.connection_made(Mute())
    answered: list[list[str]] = []
    writing = [asyncio.ensure_future(process.transact([print], told, None)) for _ in range(2)]
    for one in writing:
        one.add_done_callback(lambda _one: answered.append(list(told.seen)))
    await asyncio.sleep(0)
    for commits, seen in enumerate(("first", "second"), 1):
        process.data_received(_frame(_Report([_Results.of([Outcome(seen)])], seen, commits)))
        await asyncio.sleep(0)  # the next report is read in the turn in which the answer is taken
    await asyncio.gather(*writing)
    await asyncio.sleep(0)
    assert answered == [["first"], ["first", "second"]]
