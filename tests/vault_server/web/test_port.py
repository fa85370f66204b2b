"""The HTTP port itself: found, taken, switched off; nothing of it in the log; safe to start and stop twice."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from protocol.session import Ping, Pong
from tests.conftest import StartServer
from tests.dialling import dial
from tests.processes import Server, environment
from tests.vault_server.web.conftest import OpenLine
from tests.vault_server.web.http import get, request, say
from vault_server.settings import Settings
from vault_server.web.server import CannotServeHttp, WebServer


class Greetings:
    """A page as a system might hand it in: a greeting, a defect, a story that takes its time, and one without end."""

    def __init__(self) -> None:
        self.is_stopped = False
        self.may_end = asyncio.Event()
        self.has_fallen_silent = asyncio.Event()
        self.routes: Sequence[BaseRoute] = [
            Route("/hello", self._hello),
            Route("/defect", self._stumble),
            Route("/story", self._tell),
            Route("/endless", self._talk),
        ]

    async def stop(self) -> None:
        self.is_stopped = True

    async def _hello(self, _request: Request) -> Response:
        return Response("hello")

    async def _stumble(self, _request: Request) -> Response:
        raise ZeroDivisionError("a secret")

    async def _talk(self, _request: Request) -> Response:
        async def words() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield bytes(65_536)
                    await asyncio.sleep(0)
            finally:
                self.has_fallen_silent.set()

        return StreamingResponse(words())

    async def _tell(self, _request: Request) -> Response:
        await self.may_end.wait()
        return Response("the end")


def settings(**values: object) -> Settings:
    return Settings.model_validate({"http_port": 0} | values)


async def test_what_is_handed_in_is_served_until_stop_returns() -> None:
    page = Greetings()
    web = WebServer(settings(), [page])
    for _ in range(2):
        await web.start()
    assert (await get(web.port, "/hello")).body == b"hello"
    for _ in range(2):
        await web.stop()
    assert page.is_stopped
    with pytest.raises(ConnectionRefusedError):
        await get(web.port, "/hello")
    assert not [task for task in asyncio.all_tasks() if task.get_name() in ("http", "remembered")]


async def test_two_servers_live_in_one_process_and_neither_touches_the_signals() -> None:
    def handlers() -> list[object]:
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    before = handlers()
    one, two = WebServer(settings(), [Greetings()]), WebServer(settings(), [Greetings()])
    await one.start()
    await two.start()
    assert one.port != two.port
    assert handlers() == before
    await one.stop()
    assert (await get(two.port, "/hello")).status == 200
    await two.stop()
    assert handlers() == before


async def test_a_response_under_way_is_finished_and_an_endless_one_is_not_waited_for(line: OpenLine) -> None:
    for may_end in (True, False):
        page = Greetings()
        web = WebServer(settings(), [page])
        await web.start()
        asked = await line(web.port)
        asked.send(request("/story"))
        idle = await line(web.port)
        await get(web.port, "/hello")  # by now the request for the story has been read
        if may_end:
            page.may_end.set()
        async with asyncio.timeout(30):
            await web.stop()
        told = await asked.rest()
        assert (b"the end" in told) is may_end
        assert await idle.rest() == b""


async def test_who_reads_is_told_on_and_who_stops_reading_is_hung_up_on(line: OpenLine) -> None:
    page = Greetings()
    web = WebServer(settings(http_request_ms_max=200), [page])
    await web.start()
    connection = await line(web.port)
    connection.send(request("/endless"))
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
        assert await connection.reader.read(100_000), "three times as long as it may take for not reading"
    assert not page.has_fallen_silent.is_set()
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.wait_for(page.has_fallen_silent.wait(), 10)
    await web.stop()


async def test_a_request_that_waits_behind_another_has_all_the_time_it_takes(line: OpenLine) -> None:
    page = Greetings()
    web = WebServer(settings(http_request_ms_max=100), [page])
    await web.start()
    connection = await line(web.port)
    connection.send(request("/hello") + request("/story"))
    assert (await connection.read()).body == b"hello"
    await asyncio.sleep(0.3)
    page.may_end.set()
    assert (await connection.read()).body == b"the end"
    await web.stop()


async def test_a_defect_is_logged_and_nothing_of_it_is_told() -> None:
    web = WebServer(settings(), [Greetings()])
    await web.start()
    with structlog.testing.capture_logs() as log:
        answer = await get(web.port, "/defect?secret=1")
    assert answer.status == 500
    assert answer.json["code"] == "INTERNAL"
    assert answer.json["retryable"] is True
    assert b"secret" not in answer.body
    [line] = [entry for entry in log if entry["event"] == "http.failed"]
    assert line["path"] == "/defect"
    assert (await get(web.port, "/hello")).status == 200
    await web.stop()


async def test_a_port_that_dies_is_logged_and_can_still_be_stopped() -> None:
    page = Greetings()
    web = WebServer(settings(), [page])
    await web.start()
    with structlog.testing.capture_logs() as log:
        assert web._serving is not None
        web._serving.cancel()
        await asyncio.wait([web._serving])
        await asyncio.sleep(0)
    assert [entry["event"] for entry in log] == ["http.ended"]
    await web.stop()
    assert page.is_stopped
    with pytest.raises(ConnectionRefusedError):
        await get(web.port, "/hello")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0"])
async def test_addresses_to_listen_on(host: str) -> None:
    web = WebServer(settings(http_host=host), [Greetings()])
    await web.start()
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    with socket.socket(family) as peer:
        await asyncio.to_thread(peer.connect, ("::1" if host == "::1" else "127.0.0.1", web.port))
    assert web.url == {"::1": f"http://[::1]:{web.port}"}.get(host, f"http://{host}:{web.port}")
    await web.stop()


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.name.invalid"])
async def test_an_address_of_another_machine_is_refused(host: str) -> None:
    web = WebServer(settings(http_host=host), [])
    with pytest.raises(CannotServeHttp, match=f"cannot serve HTTP on {host}:0: .*--http-host"):
        await web.start()
    await web.stop()


async def test_switched_off_it_does_nothing(start_server: StartServer) -> None:
    server = await start_server(http_enabled=False)
    [ready] = server.find("server.ready")
    assert ready["http_port"] is None
    assert "http" not in server.stderr_path.read_text()
    async with await dial(server.url) as client:
        await client.ask(Ping(), Pong)


def serve(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vault_server", "serve", "--port", "0", *arguments],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = serve(tmp_path, "--http-port", str(port))
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"vault-server: cannot serve HTTP on 127.0.0.1:{port}: ")
    assert "--http-port" in line
    assert "--no-http" in line
    assert "server.ready" not in ended.stdout
    assert list(tmp_path.iterdir()) == []


async def test_requests_leave_nothing_in_the_log_and_on_standard_error_stands_where_metrics_are(server: Server) -> None:
    for data in (request(), request("/nowhere"), request(method="POST"), b"\x16\x03\x01\x00\xa5garbage\r\n\r\n"):
        await say(server.http_port, data)
    await server.terminate()
    assert [event["event"] for event in server.events] == ["server.ready", "server.draining", "server.stopped"]
    assert all(json.dumps(event) for event in server.events)
    introduction = server.stderr_path.read_text().splitlines()
    assert len(introduction) == 3
    assert f"http://127.0.0.1:{server.http_port}/metrics" in introduction[2]
