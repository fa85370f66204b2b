"""The control socket of a real server: who may open it, what it takes, its limits, and sockets of the dead."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from tests.conftest import StartServer
from tests.processes import Server
from vault_server.core.location import PostgresUrl
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.gateway.control import Control
from vault_server.gateway.control_path import ADDRESS_BYTES_MAX, addressable, control_path
from vault_server.gateway.listener import CannotListen
from vault_server.gateway.operator_desk import OperatorDesk
from vault_server.recent_lines import RecentLines
from vault_server.settings import Settings

LIVE = {"ask": "live", "about": ""}


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as end:
        end.settimeout(10)
        with addressable(control_path(server.database)) as address:
            end.connect(address)
        yield end


def line_of(end: socket.socket) -> Any:
    """One line, byte by byte: what comes behind it stays in the socket."""
    raw = b""
    while not raw.endswith(b"\n"):
        byte = end.recv(1)
        if not byte:
            return None
        raw += byte
    return json.loads(raw)


def call(end: socket.socket, request: object) -> Any:
    raw = request if isinstance(request, bytes) else json.dumps(request).encode()
    end.sendall(raw + b"\n")
    return line_of(end)


async def test_only_its_owner_may_open_it_and_it_goes_with_the_server(server: Server) -> None:
    path = control_path(server.database)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {entry.name for entry in path.parent.glob("*.control*")} == {"server.db.control"}
    await server.terminate()
    assert not path.exists()


async def test_requests_are_answered_one_by_one(server: Server) -> None:
    with connected(server) as end:
        live = call(end, LIVE)["ok"]
        assert (live["port"], live["connections"]["none"]) == (server.port, 0)
        assert call(end, {"ask": "solvers", "about": ""}) == {"ok": []}
        assert call(end, {"ask": "explain", "about": "00"}) == {"ok": None}
        assert call(end, {"order": "UnbanKey", "fields": {"fingerprint": "0" * 32}})["ok"]["lifted"] == 0


BAD_REQUESTS: list[tuple[object, str]] = [
    (b"hello", "MALFORMED"),
    (b"\xff\x00", "MALFORMED"),
    (b"", "MALFORMED"),
    ([], "MALFORMED"),
    ({}, "MALFORMED"),
    ({"ask": "live"}, "MALFORMED"),
    ({"ask": "live", "about": 5}, "MALFORMED"),
    ({**LIVE, "more": 1}, "MALFORMED"),
    ({"tail": -1}, "MALFORMED"),
    ({"tail": "5"}, "MALFORMED"),
    ({"ask": "weather", "about": ""}, "UNSUPPORTED_TYPE"),
    ({"order": "TidyUp", "fields": {}}, "UNSUPPORTED_TYPE"),
    ({"order": "SubmitPuzzle", "fields": {}}, "UNSUPPORTED_TYPE"),
    ({"order": "UnbanKey", "fields": {}}, "MISSING_FIELD"),
    ({"order": "UnbanKey", "fields": {"fingerprint": "0" * 32, "x": 1}}, "UNKNOWN_FIELD"),
    ({"order": "UnbanKey", "fields": {"fingerprint": 7}}, "BAD_FIELD"),
    ({"order": "UnbanKey", "fields": {"fingerprint": "7"}}, "BAD_FIELD"),
    ({"order": "BanKey", "fields": {"fingerprint": "0" * 32, "seconds": True, "reason": "x"}}, "BAD_FIELD"),
]


async def test_what_is_no_request_is_refused_and_the_next_one_answered(server: Server) -> None:
    with connected(server) as end:
        for request, code in BAD_REQUESTS:
            refused = call(end, request)["error"]
            assert refused["code"] == code, request
            assert refused["message"], request
            assert refused["suggestion"], request
            assert "ok" in call(end, LIVE)


async def test_the_longest_line_and_one_byte_more(start_server: StartServer) -> None:
    server = await start_server(operator_line_bytes_max=300)
    shortest = len(json.dumps({"ask": "explain", "about": ""}))
    with connected(server) as end:
        assert call(end, {"ask": "explain", "about": "x" * (300 - shortest)}) == {"ok": None}
        refused = call(end, {"ask": "explain", "about": "x" * (301 - shortest)})["error"]
        assert refused["code"] == "TOO_LARGE"
        assert "300 bytes" in refused["message"]
        assert line_of(end) is None


async def test_as_many_operators_as_there_may_be_and_one_more(start_server: StartServer) -> None:
    server = await start_server(operators_max=2)
    with ExitStack() as ends:
        two = [ends.enter_context(connected(server)) for _ in range(2)]
        assert all("ok" in call(end, LIVE) for end in two)
        third = ends.enter_context(connected(server))
        refused = line_of(third)["error"]
        assert refused["code"] == "TOO_MANY_CONNECTIONS"
        assert "VAULT_OPERATORS_MAX" in refused["suggestion"]
        two[0].close()
        await until_served(server)


async def until_served(server: Server) -> None:
    async with asyncio.timeout(10):
        while True:
            with connected(server) as end:
                try:
                    if "ok" in call(end, LIVE):
                        return
                except ConnectionError:
                    pass
            await asyncio.sleep(0.02)


async def test_the_log_is_followed_from_where_it_was_asked(server: Server) -> None:
    with connected(server) as end:
        assert call(end, {"tail": 1}) == {"ok": None}
        assert line_of(end)["event"] == "server.ready"
        with connected(server) as other:
            call(other, {"order": "BanKey", "fields": {"fingerprint": "1" * 32, "seconds": 5, "reason": "a test"}})
        assert line_of(end)["event"] == "key.banned"
        await server.terminate()
        assert line_of(end)["event"] == "server.draining"
        assert line_of(end) is None


async def test_the_socket_of_a_killed_server_is_replaced(server: Server) -> None:
    path = control_path(server.database)
    await server.kill()
    assert path.is_socket()
    await server.restart()
    with connected(server) as end:
        assert "ok" in call(end, LIVE)


async def failed_start(server: Server) -> str:
    server.launch()
    assert await server.wait() == 1
    return server.stderr_path.read_text()


async def test_a_socket_that_somebody_answers_on_is_never_replaced(server: Server) -> None:
    await server.terminate()
    path = control_path(server.database)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as other:
        with addressable(path) as address:
            other.bind(address)
        other.listen()
        inode = path.stat().st_ino
        said = await failed_start(server)
        assert "another server answers on" in said
        assert "--database" in said
        assert path.stat().st_ino == inode
    await server.restart()


async def test_what_is_no_socket_is_not_overwritten(server: Server) -> None:
    await server.terminate()
    path = control_path(server.database)
    path.write_text("mine")
    assert "is in the way" in await failed_start(server)
    assert path.read_text() == "mine"
    path.unlink()
    await server.restart()


def test_the_name_follows_the_file_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.db").touch()
    (tmp_path / "link.db").symlink_to("real.db")
    assert control_path(tmp_path / "link.db") == control_path(tmp_path / "real.db") == tmp_path / "real.db.control"


def test_a_long_name_gets_a_short_one_of_its_own(tmp_path: Path) -> None:
    one, other = (control_path(tmp_path / f"{'n' * 80}{number}.db") for number in (1, 2))
    assert one != other
    assert len(one.name) == len("0" * 32 + ".control")


def test_a_deep_folder_fits_an_address(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a" * 60] * 3)
    deep.mkdir(parents=True)
    with addressable(deep / "s") as address, closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as end:
        assert len(address) <= ADDRESS_BYTES_MAX
        end.bind(address)
    assert (deep / "s").is_socket()


# without a server around it


def control(folder: Path, recent: RecentLines, **settings: Any) -> Control:
    """The socket alone: nobody here asks or orders anything."""
    desk = OperatorDesk({}, {}, cast(Dispatcher, None))
    return Control(Settings(database=folder / "v.db", **settings), desk, recent)


async def test_who_has_no_file_of_a_database_is_told_to_name_other_key_files(tmp_path: Path) -> None:
    url = PostgresUrl("postgresql://nobody@127.0.0.1:1/vault")
    desk = OperatorDesk({}, {}, cast(Dispatcher, None))
    one, other = (Control(Settings(database=url, key_files=tmp_path / "v"), desk, RecentLines()) for _ in range(2))
    await one.start()
    try:
        with pytest.raises(CannotListen, match=r"stop that one, or name other files with VAULT_KEY_FILES$"):
            await other.start()
    finally:
        await one.stop()


async def test_a_reader_that_pauses_costs_a_bounded_memory_and_is_told_what_it_missed(tmp_path: Path) -> None:
    recent = RecentLines()
    alone = control(tmp_path, recent, tail_waiting_bytes_max=4096)
    await alone.start()
    try:
        reader, writer = await asyncio.open_unix_connection(alone.path)
        writer.write(b'{"tail": 0}\n')
        assert await reader.readline() == b'{"ok":null}\n'
        lines, dropped = await pausing(reader, recent, 8000)
        writer.close()
    finally:
        await alone.stop()
    assert dropped > 0
    assert lines == sorted(lines)
    assert lines[0] == 0


async def pausing(reader: asyncio.StreamReader, recent: RecentLines, count: int) -> tuple[list[int], int]:
    """Let lines come while nobody reads, then read: their numbers, and how many were lost."""
    for number in range(count):  # a megabyte in all, more than the sockets' and streams' buffers hold
        recent.add([json.dumps({"number": number, "filling": "x" * 100}).encode()])
        if number % 10 == 0:
            await asyncio.sleep(0)
    lines: list[int] = []
    dropped = 0
    while len(lines) + dropped < count:
        event = json.loads(await asyncio.wait_for(reader.readline(), 10))
        if event.get("event") == "tail.dropped":
            dropped += event["lines"]
        else:
            lines.append(event["number"])
    return lines, dropped


async def test_a_folder_that_can_hold_no_socket_is_a_warning() -> None:
    alone = control(Path("/proc"), RecentLines())
    with structlog.testing.capture_logs() as logged:
        await alone.start()
    await alone.stop()
    assert [(line["event"], line["log_level"]) for line in logged] == [("control.unavailable", "warning")]


async def test_starting_and_stopping_twice_is_safe(tmp_path: Path) -> None:
    alone = control(tmp_path, RecentLines())
    await alone.stop()
    for _ in range(2):
        await alone.start()
        await alone.start()
        assert alone.path.is_socket()
        await alone.stop()
        await alone.stop()
        assert not alone.path.exists()


async def test_a_socket_that_somebody_else_has_put_there_stays(tmp_path: Path) -> None:
    alone = control(tmp_path, RecentLines())
    await alone.start()
    alone.path.unlink()
    alone.path.write_text("mine")
    await alone.stop()
    assert alone.path.read_text() == "mine"
