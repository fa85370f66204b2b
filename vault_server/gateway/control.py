"""The operator's socket beside the database: JSON lines, requests and answers, and the log as it is written.

Only the owner of the folder's files can open it (mode 0600). A socket that a killed server left is replaced, one that
somebody answers on never.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path

import orjson
import structlog

from protocol.errors import Code
from vault_server.core.operation import Refusal
from vault_server.gateway.control_path import addressable, control_path
from vault_server.gateway.listener import CannotListen
from vault_server.gateway.log_feed import LogFeed
from vault_server.gateway.operator_desk import OperatorDesk, parse, refused
from vault_server.recent_lines import RecentLines
from vault_server.settings import Settings

logger = structlog.get_logger()

BACKLOG = 16
STOP_SECONDS = 1.0
"""For the last lines to those who tail the log."""


class Control:
    """`start` returns when operators can connect, `stop` when nobody is and the socket is gone."""

    def __init__(self, settings: Settings, desk: OperatorDesk, recent: RecentLines) -> None:
        self.path = control_path(settings.files)
        self._settings = settings
        self._desk = desk
        self._recent = recent
        self._server: asyncio.Server | None = None
        self._file: tuple[int, int] | None = None
        self._operators: set[asyncio.Task[None]] = set()
        self._tails: dict[LogFeed, asyncio.Task[None]] = {}

    @property
    def operators(self) -> int:
        """How many are connected."""
        return len(self._operators)

    async def start(self) -> None:
        """Raises CannotListen when another server answers there, or something else is in the way."""
        if self._server is not None:
            return
        _refuse_what_is_there(self.path, _other_name(self._settings))
        try:
            bound = _bind(self.path)
        except OSError as error:  # a folder that can hold no sockets serves its clients none the less
            logger.warning("control.unavailable", path=str(self.path), reason=error.strerror or str(error))
            return
        status = self.path.stat()
        self._file = (status.st_dev, status.st_ino)
        self._server = await asyncio.start_unix_server(
            self._meet, sock=bound, limit=self._settings.operator_line_bytes_max
        )

    async def stop(self) -> None:
        """Let the last lines of the log go out, then hang up."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for feed in self._tails:
            feed.end()
        if self._tails:
            await asyncio.wait(self._tails.values(), timeout=STOP_SECONDS)
        for operator in list(self._operators):
            operator.cancel()
        await asyncio.gather(*self._operators, return_exceptions=True)
        with suppress(OSError):
            status = self.path.stat()
            if (status.st_dev, status.st_ino) == self._file:  # not one that somebody else has put there since
                self.path.unlink()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        self._operators.add(task)
        try:
            await self._converse(task, reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # gone, or the server stops
        finally:
            self._operators.discard(task)
            writer.close()

    async def _converse(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self.operators > self._settings.operators_max:
            await _send(writer, refused(_too_many(self._settings.operators_max)))
            return
        while True:
            try:
                line = await reader.readuntil()
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                await _send(writer, refused(_too_long(self._settings.operator_line_bytes_max)))
                return
            request = parse(line)
            match request:
                case {"tail": int(earlier)} if len(request) == 1 and earlier >= 0:
                    await self._tail(task, earlier, reader, writer)
                    return
            await _send(writer, await self._desk.answer(request))

    async def _tail(
        self, task: asyncio.Task[None], earlier: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """The log's lines as they are, until the other end hangs up."""
        feed = LogFeed(asyncio.get_running_loop(), self._settings.tail_waiting_bytes_max)
        await _send(writer, {"ok": None})
        self._tails[feed] = task
        self._recent.follow(feed.put, earlier)
        gone = asyncio.ensure_future(reader.read(1))  # who tails says nothing more: a byte or the end means gone
        gone.add_done_callback(lambda _: feed.end())
        try:
            async for lines in feed:
                writer.write(lines)
                await writer.drain()
        finally:
            self._recent.leave(feed.put)
            del self._tails[feed]
            gone.cancel()


async def _send(writer: asyncio.StreamWriter, reply: object) -> None:
    writer.write(orjson.dumps(reply) + b"\n")
    await writer.drain()


def _other_name(settings: Settings) -> str:
    named_by_database = settings.files == settings.database
    return "name another file with --database" if named_by_database else "name other files with VAULT_KEY_FILES"


def _refuse_what_is_there(path: Path, other_name: str) -> None:
    if not path.exists():
        return
    if not path.is_socket():
        raise CannotListen(f"{path} is in the way of the control socket and is none; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, addressable(path) as address:
        probe.settimeout(STOP_SECONDS)
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            return  # whoever made it is dead
        except OSError as error:
            raise CannotListen(f"cannot tell whether a server answers on {path}: {error.strerror or error}") from error
    raise CannotListen(f"another server answers on {path}; stop that one, or {other_name}")


def _bind(path: Path) -> socket.socket:
    """A listening socket at `path` that only its owner can open: made under another name, then put in its place."""
    made = path.with_name(f"{path.name}.{os.getpid()}")
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            made.unlink()
        with addressable(made) as address:
            bound.bind(address)
        made.chmod(0o600)  # nobody can have connected before: it does not listen yet
        bound.listen(BACKLOG)
        made.replace(path)
    except BaseException:
        bound.close()
        with suppress(OSError):
            made.unlink()
        raise
    return bound


def _too_many(operators_max: int) -> Refusal:
    return Refusal(
        Code.TOO_MANY_CONNECTIONS,
        f"{operators_max} operators are connected.",
        "End one of their commands, or raise VAULT_OPERATORS_MAX.",
    )


def _too_long(bytes_max: int) -> Refusal:
    return Refusal(Code.TOO_LARGE, f"A request has more than {bytes_max} bytes.", "Send shorter lines.")
