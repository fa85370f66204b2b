"""Abuse by address is met with HTTP 429 or a hang-up, whatever key it names; other addresses still get in."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from protocol.errors import Close
from protocol.identity import Identity
from protocol.peer import PLAIN_MSGPACK, SEALED
from protocol.session import Ping, Pong
from protocol.vault import SOLVER_PATH
from tests.acceptance import rows
from tests.conftest import StartServer
from tests.dialling import Dialled, dial
from tests.processes import Server
from vault_server.gateway.addresses import TURNED_AWAY_MAX

ELSEWHERE = "127.0.0.2"


async def turned_away(server: Server, local_address: str | None = None, headers: dict[str, str] | None = None) -> int:
    """Dial once; the seconds to wait that HTTP 429 names."""
    with pytest.raises(InvalidStatus) as raised:
        await dial(server.url, local_address=local_address, headers=headers)
    response = raised.value.response
    assert response.status_code == 429
    assert b"address" in response.body
    return int(response.headers["Retry-After"])


async def gets_in(server: Server, local_address: str | None = None, me: Identity | None = None) -> Dialled:
    client = await dial(server.url, identity=me, local_address=local_address)
    await client.ask(Ping(), Pong)
    return client


async def test_so_many_connections_of_one_address_whatever_their_keys(start_server: StartServer) -> None:
    server = await start_server(connections_per_address_max=2)
    me = Identity.generate()
    first, second = await gets_in(server), await gets_in(server, me=me)
    assert await turned_away(server) > 0
    refused = await server.event("address.refused", address="127.0.0.1")
    assert "connections_per_address_max" in refused["reason"]
    third = await gets_in(server, ELSEWHERE, me)  # the key is not punished for it
    await first.close()
    await server.event("connection.closed")
    fourth = await gets_in(server)
    await turned_away(server)
    for client in (second, third, fourth):
        await client.close()


async def fail_hello(server: Server) -> None:
    """Answer the challenge with something that is no hello."""
    async with connect(f"{server.url}/client", subprotocols=[Subprotocol(SEALED.name)], proxy=None) as socket:
        await socket.recv()
        await socket.send(b"hello")
        await socket.wait_closed()
    assert socket.close_code == Close.HANDSHAKE_FAILED


async def half_open(server: Server) -> asyncio.StreamWriter:
    """A connection that says nothing."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    return writer


async def test_half_open_handshakes_of_one_address(start_server: StartServer) -> None:
    server = await start_server(handshakes_per_address_max=3)
    silent = [await half_open(server) for _ in range(2)]
    clients = [await gets_in(server) for _ in range(3)]  # one at a time: each is the third for a moment
    silent.append(await half_open(server))
    await turned_away(server)
    clients.append(await gets_in(server, ELSEWHERE))
    silent.pop().close()
    async with asyncio.timeout(10):
        while True:
            try:
                clients.append(await gets_in(server))
                break
            except InvalidStatus:
                await asyncio.sleep(0.01)
    for client in clients:
        await client.close()
    for writer in silent:
        writer.close()


async def test_new_connections_of_one_address(start_server: StartServer) -> None:
    server = await start_server(new_connections_per_address_max=3, rate_limit_window=600)
    for _ in range(3):
        await (await gets_in(server)).close()
    assert 590 < await turned_away(server) <= 600
    await (await gets_in(server, ELSEWHERE)).close()


async def test_refused_hellos_of_one_address(start_server: StartServer) -> None:
    server = await start_server(failed_hellos_per_address_max=2, rate_limit_window=600)
    present = await gets_in(server)
    for _ in range(2):
        await fail_hello(server)
    await server.event("handshake.refused", count=2)
    await turned_away(server)
    await present.ask(Ping(), Pong)  # who is in stays in
    await (await gets_in(server, ELSEWHERE)).close()
    await present.close()


async def test_a_crowd_is_hung_up_on_and_the_others_are_served(start_server: StartServer) -> None:
    server = await start_server(handshakes_per_address_max=1)
    silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(1 + TURNED_AWAY_MAX)]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    async with asyncio.timeout(30):
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    await (await gets_in(server, ELSEWHERE)).close()
    for _, each in [*silent, (reader, writer)]:
        each.close()


async def test_only_a_named_proxy_says_where_others_come_from(start_server: StartServer) -> None:
    server = await start_server(connections_per_address_max=1, trusted_proxies=ELSEWHERE)
    one, other = {"X-Forwarded-For": "198.51.100.1"}, {"X-Forwarded-For": "127.0.0.1, 2001:db8::7"}
    first = await dial(server.url, local_address=ELSEWHERE, headers=one)
    await server.event("connection.opened", address="198.51.100.1")
    second = await dial(server.url, local_address=ELSEWHERE, headers=other)
    await server.event("connection.opened", address="2001:db8::7")
    await turned_away(server, ELSEWHERE, one)
    await turned_away(server, ELSEWHERE, {"X-Forwarded-For": "2001:db8::8"})  # the same /64
    third = await dial(server.url, headers=one)  # nobody has named this one: its word counts for nothing
    await server.event("connection.opened", address="127.0.0.1")
    await turned_away(server, headers={"X-Forwarded-For": "198.51.100.2"})
    for client in (first, second, third):
        await client.close()


async def test_solvers_behind_one_prefix_come_from_one_place(start_server: StartServer) -> None:
    server = await start_server(trusted_proxies="127.0.0.1")
    for origin in ("2001:db8::1", "2001:db8::ffff:1", "198.51.100.1"):
        solver = await dial(server.url, SOLVER_PATH, headers={"X-Forwarded-For": origin})
        await solver.ask(Ping(), Pong)
        await solver.close()
    await server.event("solver.online", count=3)
    assert rows.look(server.database, "SELECT DISTINCT address FROM solvers ORDER BY address") == [
        ("198.51.100.1",),
        ("2001:db8::/64",),
    ]


async def test_who_comes_through_a_proxy_is_not_on_this_machine(start_server: StartServer) -> None:
    """Unsealed frames are for this machine alone, also when the proxy runs on it."""
    server = await start_server(trusted_proxies="127.0.0.1")
    async with await dial(server.url, subprotocol=PLAIN_MSGPACK) as local:
        await local.ask(Ping(), Pong)
    with pytest.raises(InvalidStatus) as raised:
        await dial(server.url, subprotocol=PLAIN_MSGPACK, headers={"X-Forwarded-For": "198.51.100.1"})
    assert raised.value.response.status_code == 400
