"""How many connections one address may have to the HTTP port."""

from __future__ import annotations

import pytest

from protocol.errors import Code
from tests.conftest import StartServer
from tests.processes import Server
from tests.vault_server.web.conftest import OpenLine
from tests.vault_server.web.http import Answer, Line, request
from tests.vault_server.web.test_strangers import refused
from vault_server.web.crowd import TURNED_AWAY_MAX, Crowd

LIMIT = 3
HALF = b"GET /hea"


async def asked(line: Line, path: str = "/healthz") -> Answer:
    line.send(request(path))
    return await line.read()


async def filled(server: Server, line: OpenLine, count: int) -> list[Line]:
    """So many connections, each with half a request."""
    held = [await line(server.http_port) for _ in range(count)]
    for each in held:
        each.send(HALF)
    return held


async def test_as_many_connections_of_an_address_as_allowed_and_one_more(
    start_server: StartServer, line: OpenLine
) -> None:
    server = await start_server(http_connections_per_address_max=LIMIT, http_request_ms_max=60_000)
    held = await filled(server, line, LIMIT - 1)
    last = await line(server.http_port)
    assert (await asked(last)).status == 200
    more = await line(server.http_port)
    answer = await asked(more)
    assert "http_connections_per_address_max" in answer.json["suggestion"]
    assert str(LIMIT) in refused(answer, 503, Code.TOO_MANY_CONNECTIONS)
    assert answer.headers["retry-after"] == "1"
    assert await more.rest() == b""
    enveloped = await asked(await line(server.http_port), "/api/v1/tasks")
    assert enveloped.json["error"]["code"] == Code.TOO_MANY_CONNECTIONS
    assert (await asked(last)).status == 200  # those that were there first go on
    held[0].close()
    while True:
        if (await asked(await line(server.http_port))).status == 200:
            break


async def test_those_that_wait_to_be_told_are_bounded(start_server: StartServer, line: OpenLine) -> None:
    server = await start_server(http_connections_per_address_max=1, http_request_ms_max=60_000)
    await filled(server, line, 1 + TURNED_AWAY_MAX)
    hung_up_on = await line(server.http_port)
    assert await hung_up_on.rest() == b""


async def test_a_named_proxy_has_as_many_as_everybody(start_server: StartServer, line: OpenLine) -> None:
    server = await start_server(http_connections_per_address_max=1, trusted_proxies="127.0.0.1")
    await filled(server, line, 2 + TURNED_AWAY_MAX)
    assert (await asked(await line(server.http_port))).status == 200


@pytest.mark.parametrize("limit", [1, 4])
def test_owners_are_counted_apart_and_forgotten(limit: int) -> None:
    crowd = Crowd(limit, {"a": "one", "b": "one", "c": "two"}.get)
    assert [crowd.enter("ab"[number % 2]) for number in range(limit + 2)] == [0] * limit + [1, 2]
    assert crowd.enter("c") == 0
    assert crowd.enter("proxy") == 0
    assert len(crowd) == 2
    for number in range(limit + 2):
        crowd.leave("ab"[number % 2])
    crowd.leave("c")
    crowd.leave("proxy")
    assert len(crowd) == 0
