"""The writer as a process of its own: the interpreter has one lock, and the event loop and the writer each need it all.

Forked from the server before its first thread, so it has the same operations, settings and keys without being told. A
batch goes there pickled; the outcomes come back once they are on disk. All batches that have arrived meanwhile are one
transaction. It ends with its server, and holds the server's claim on the file until it does.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import socket
import sqlite3
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, cast

from vault_server.core.operation import LogEvent, Refusal
from vault_server.descendant import end_with_parent, ignore_signals
from vault_server.storage.commits import Commits, WriteAheadLog
from vault_server.storage.database import Lookout, Outcome, StorageError, Work
from vault_server.storage.sqlite_work import CONNECTION, look_out, run_batch, set_up, set_up_writer

BATCHES_MAX = 16
"""Under way at once: while some are written, the next ones wait in the socket, so that the writer never waits."""
WORKS_MAX = 256
"""In one transaction."""
HEADER_BYTES = 4
READ_BYTES = 2**20

Bind = Callable[[Work], Work]


class _Order(NamedTuple):
    """What is to be written, and what the lookout there has to know."""

    works: Sequence[Work]
    is_watched: bool
    news: Any


class _Results(NamedTuple):
    """What became of the works of a batch, by their places: most have no error, and many no effects."""

    values: list[Any]
    errors: dict[int, Exception]
    effects: dict[int, list[Any]]
    """Events for the log as bare tuples, which cost half."""

    @classmethod
    def of(cls, outcomes: list[Outcome]) -> _Results:
        """As they are sent."""
        return cls(
            [outcome.value for outcome in outcomes],
            {at: _sendable(outcome.error) for at, outcome in enumerate(outcomes) if outcome.error is not None},
            {
                at: [tuple(effect) if type(effect) is LogEvent else effect for effect in outcome.effects]
                for at, outcome in enumerate(outcomes)
                if outcome.effects
            },
        )

    def outcomes(self) -> list[Outcome]:
        """As they were."""
        outcomes = [Outcome(value) for value in self.values]
        for at, error in self.errors.items():
            outcomes[at].error = error
        for at, effects in self.effects.items():
            outcomes[at].effects = [LogEvent(*effect) if type(effect) is tuple else effect for effect in effects]
        return outcomes


class _Report(NamedTuple):
    """What became of each batch, what was seen behind their commit, and how many commits there have been by then: all
    of them are on disk when this arrives.
    """

    batches: list[_Results]
    seen: Any
    commits: int


class _Answer(NamedTuple):
    """What became of a batch. `saw`: the last one of a transaction tells its lookout what was seen."""

    outcomes: list[Outcome]
    saw: Callable[[], None] | None = None


class _Waiting(NamedTuple):
    """A batch under way."""

    answer: asyncio.Future[_Answer]
    works: int
    lookout: Lookout | None


class WriterProcess(asyncio.Protocol):
    """The server's side. `lost` is done when the process has ended by itself, with the reason."""

    def __init__(self, pid: int, ours: socket.socket, commits: Commits) -> None:
        self._pid = pid
        self._commits = commits
        self._on_disk = 0
        self._views: list[tuple[int, asyncio.Future[None]]] = []
        self._socket: socket.socket | None = ours
        self._transport: asyncio.Transport | None = None
        self._arrived = bytearray()
        self._waiting: deque[_Waiting] = deque()
        self._is_stopping = False
        self._ended: asyncio.Future[None] | None = None
        self.lost: asyncio.Future[str] | None = None

    @classmethod
    def fork(cls, path: Path, lookout: Lookout, bind: Bind, begin: Callable[[], None], works_max: int) -> WriterProcess:
        """See `SqliteDatabase.fork`. The file is opened with the first batch."""
        ours, theirs = socket.socketpair()
        commits = Commits()
        gc.freeze()  # what both have from here on is not copied by either's collector
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            _live(server, ours, theirs, path, lookout, bind, begin, works_max, commits)
        theirs.close()
        ours.setblocking(False)
        return cls(pid, ours, commits)

    async def start(self) -> None:
        """Take batches."""
        loop = asyncio.get_running_loop()
        self._ended, self.lost = loop.create_future(), loop.create_future()
        await loop.create_unix_connection(lambda: self, sock=self._socket)
        self._socket = None

    async def transact(self, batch: Sequence[Work], lookout: Lookout | None, news: Any) -> list[Outcome]:
        """See `storage.database.Database.transact`."""
        if self._transport is None or self._transport.is_closing():
            return _gone(len(batch), in_doubt=False)
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._transport.write(_frame(_Order(batch, lookout is not None, news)))
        self._waiting.append(_Waiting(answer, len(batch), lookout))
        outcomes, saw = await answer
        if saw is not None:
            saw()  # not before: the batch of an earlier report may only now be answered, and would wake the pump for it
        return outcomes

    def commits_begun(self) -> int:
        """At least what a view shows that was taken before; for any thread."""
        return self._commits.begun

    async def until_on_disk(self, commits: int) -> None:
        """So many commits are on disk. Raises StorageError when nobody will know any more."""
        if commits > self._on_disk:
            if self._transport is None or self._transport.is_closing():
                raise _ended(in_doubt=False)
            there: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._views.append((commits, there))
            await there

    async def stop(self) -> None:
        """Done when the process has closed the file and ended. Safe twice, and without `start`."""
        self._is_stopping = True
        unused, self._socket = self._socket, None
        if unused is not None:
            unused.close()
            await asyncio.to_thread(_reap, self._pid)
        elif self._ended is not None:
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write_eof()
            await self._ended

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is the loop's."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """A part of a report."""
        self._arrived += data
        for raw in _whole_frames(self._arrived):
            self._take_in(pickle.loads(raw))

    def connection_lost(self, _error: Exception | None) -> None:
        """The process has ended, or is about to."""
        for waiting in self._waiting:
            if not waiting.answer.done():
                waiting.answer.set_result(_Answer(_gone(waiting.works, in_doubt=True)))
        self._waiting.clear()
        for _, there in self._views:
            if not there.done():
                there.set_exception(_ended(in_doubt=False))
        self._views.clear()
        reaping = asyncio.get_running_loop().run_in_executor(None, _reap, self._pid)
        reaping.add_done_callback(self._reaped)

    def _take_in(self, report: _Report) -> None:
        self._on_disk = report.commits
        if self._views:
            self._release_views()
        answered = [self._waiting.popleft() for _ in report.batches]
        last = answered[-1]
        saw = None if last.lookout is None else partial(last.lookout.saw, report.seen)
        for waiting, results in zip(answered, report.batches, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(_Answer(results.outcomes(), saw if waiting is last else None))
            elif waiting is last and saw is not None:
                saw()  # nobody waits for the answer

    def _release_views(self) -> None:
        waiting, self._views = self._views, []
        for commits, there in waiting:
            if commits > self._on_disk:
                self._views.append((commits, there))
            elif not there.done():
                there.set_result(None)

    def _reaped(self, reaping: asyncio.Future[str]) -> None:
        assert self._ended is not None, "it was started"
        assert self.lost is not None, "it was started"
        if not self._is_stopping and not self.lost.done():
            self.lost.set_result(reaping.result())
        self._ended.set_result(None)


def _ended(*, in_doubt: bool) -> StorageError:
    return StorageError("the process that writes the database has ended", in_doubt=in_doubt)


def _gone(works: int, *, in_doubt: bool) -> list[Outcome]:
    return [Outcome(error=_ended(in_doubt=in_doubt)) for _ in range(works)]


def _reap(pid: int) -> str:
    """How it ended."""
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return f"process {pid} ended with exit code {code}"


def _frame(value: Any) -> bytes:
    raw = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(raw).to_bytes(HEADER_BYTES, "big") + raw


def _whole_frames(arrived: bytearray) -> Iterator[bytes]:
    """Those that have arrived whole; they are taken away."""
    start = 0
    while len(arrived) >= start + HEADER_BYTES:
        end = start + HEADER_BYTES + int.from_bytes(arrived[start : start + HEADER_BYTES], "big")
        if len(arrived) < end:
            break
        yield bytes(arrived[start + HEADER_BYTES : end])
        start = end
    del arrived[:start]


# the process


def _live(
    server: int,
    ours: socket.socket,
    theirs: socket.socket,
    path: Path,
    lookout: Lookout,
    bind: Bind,
    begin: Callable[[], None],
    works_max: int,
    commits: Commits,
) -> NoReturn:
    """All that the process ever does. Whatever its server has prepared for its own end is not this one's."""
    code = 1
    try:
        ours.close()
        ignore_signals()
        end_with_parent(server)
        begin()
        _write(theirs, path, lookout, bind, works_max, commits)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


class _Writer:
    """The connection that writes, opened with the first orders: the file is what it should be by then."""

    def __init__(self, channel: socket.socket, path: Path, lookout: Lookout, bind: Bind, commits: Commits) -> None:
        self._lookout = lookout
        self._bind = bind
        self._commits = commits
        self._raw = sqlite3.connect(path, **CONNECTION)
        set_up(self._raw)
        set_up_writer(self._raw, "NORMAL")
        self._log = WriteAheadLog(path, partial(_send, channel))

    def close(self) -> None:
        """All that was carried out is reported."""
        self._log.close()
        self._raw.close()

    def carry_out(self, orders: list[_Order]) -> None:
        """One transaction. It is reported when it is on disk, which the next one does not wait for."""
        works = [self._bind(work) for order in orders for work in order.works]
        outcomes = run_batch(self._raw, works, self._commits.begin)
        self._log.committed()
        self._log.report(self._report(orders, outcomes))

    def _report(self, orders: list[_Order], outcomes: list[Outcome]) -> bytes:
        for order in orders:
            if order.is_watched:
                self._lookout.learn(order.news)
        seen = look_out(self._raw, self._lookout) if orders[-1].is_watched else None
        each = iter(outcomes)
        batches = [[next(each) for _ in order.works] for order in orders]
        commits = self._commits.begun
        try:
            return _frame(_Report([_Results.of(batch) for batch in batches], seen, commits))
        except Exception:  # a defect of one reply must not end the process: the batch is on disk, and others wait
            told = [_Results.of([_told_of(outcome) for outcome in batch]) for batch in batches]
            return _frame(_Report(told, None, commits))


def _write(channel: socket.socket, path: Path, lookout: Lookout, bind: Bind, works_max: int, commits: Commits) -> None:
    """Until the server has said that nothing more comes."""
    writer: _Writer | None = None
    for orders in _together(channel, works_max):
        if writer is None:
            writer = _Writer(channel, path, lookout, bind, commits)
        writer.carry_out(orders)
    if writer is not None:
        writer.close()


def _send(channel: socket.socket, report: bytes) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # the server is gone, and whoever waited with it
        channel.sendall(report)


def _together(channel: socket.socket, works_max: int) -> Iterator[list[_Order]]:
    """At least one batch at a time, and as many as have arrived meanwhile and fit into one transaction."""
    arrived, orders = bytearray(), deque[_Order]()
    while True:
        try:
            data = channel.recv(READ_BYTES, socket.MSG_DONTWAIT if orders else 0)
        except BlockingIOError:
            data = None
        except ConnectionResetError:
            data = b""
        if data:
            arrived += data
            orders += (pickle.loads(frame) for frame in _whole_frames(arrived))
        elif data is not None and not orders:
            return
        if orders:
            yield list(_first(orders, works_max))


def _first(orders: deque[_Order], works_max: int) -> Iterator[_Order]:
    count = 0
    while orders and (not count or count + len(orders[0].works) <= works_max):
        count += len(orders[0].works)
        yield orders.popleft()


def _told_of(outcome: Outcome) -> Outcome:
    """What can be said of it."""
    try:
        _frame(_Results.of([outcome]))
    except Exception as error:
        return Outcome(error=_told(error))
    return outcome


def _sendable(error: Exception) -> Exception:
    return error if isinstance(error, (Refusal, StorageError)) else _told(error)


def _told(error: Exception) -> Exception:
    """A defect, for the server's log: its traceback does not travel, so it goes along as text."""
    story = "".join(traceback.format_exception(error))
    try:
        told: Exception = pickle.loads(pickle.dumps(error))
    except Exception:
        told = RuntimeError(f"{type(error).__name__}, in the process that writes")
    told.add_note(story)
    return told
