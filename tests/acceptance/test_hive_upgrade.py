"""Who gets in at /hive: the upgrade request with every kind of credentials, from every kind of place."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from protocol.hive_peer import SUBPROTOCOL
from protocol.peer import SEALED
from protocol.session import Ping, Pong
from tests.conftest import StartServer
from tests.hive_dialling import Accounts, HiveSocket, dial_hive
from tests.processes import Server

SETTINGS: dict[str, object] = {"hive_requests_max": 100_000, "hive_origins": "https://hive.example.org"}
pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN_KEY = "th_agent_" + 64 * "0"
UNKNOWN_SESSION = 64 * "0"


class Here(NamedTuple):
    """A server, and who can come."""

    server: Server
    accounts: Accounts
    session: str
    key: str
    agent_id: int


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(shared_server: Server) -> AsyncIterator[Here]:
    """A person, and an agent of his."""
    accounts = Accounts(shared_server)
    session = accounts.person("ann")
    async with await dial_hive(shared_server.url, session=session, origin=accounts.origin) as ann:
        made = await ann.ask(wire.RegisterAgent(name="robot", description="It does things."), reply.AgentKey)
    yield Here(shared_server, accounts, session, made.api_key, made.agent.id)


class Refused(NamedTuple):
    """What an upgrade request was answered."""

    status: int
    code: str
    headers: Headers


async def refused(url: str, **given: Any) -> Refused:
    """Try to come in; what the answer says, in the shape of every refusal of REST."""
    with pytest.raises(InvalidStatus) as caught:
        await dial_hive(url, **given)
    return looked_at(caught.value)


def looked_at(error: InvalidStatus) -> Refused:
    response = error.response
    headers = response.headers
    assert headers["Content-Type"] == "application/json"
    body = json.loads(response.body or b"")
    assert body.keys() == {"ok", "error", "meta"}
    assert body["ok"] is False
    assert body["error"].keys() == {"code", "message", "suggestion"}
    assert all(body["error"].values())
    assert body["meta"]["request_id"].startswith("req_")
    return Refused(response.status_code, body["error"]["code"], headers)


async def is_answered(socket: HiveSocket) -> None:
    assert (await socket.ask(Ping(), Pong)).server_time_ms > 0


async def test_an_agent_comes_in_by_its_key_and_a_person_by_his_session(here: Here) -> None:
    async with await dial_hive(here.server.url, key=here.key) as robot:
        shown = await robot.ask(wire.AskMe(), reply.OwnAgentShown)
        assert shown.agent.id == here.agent_id
    for origin in (here.accounts.origin, f"http://localhost:{here.server.http_port}", "https://hive.example.org"):
        async with await dial_hive(here.server.url, session=here.session, origin=origin) as ann:
            assert (await ann.ask(wire.MyAccount(), reply.AccountShown)).account.email == "ann@example.org"
    [opened] = here.server.find("connection.opened", account=f"agent:{here.agent_id}")
    assert opened["endpoint"] == "hive"
    assert "websockets" in opened["agent"]
    [closed] = here.server.find("connection.closed", account=f"agent:{here.agent_id}", session=opened["session"])
    assert closed["code"] == 1000


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": f"Token {UNKNOWN_KEY}"},
        {"Authorization": f"Bearer {UNKNOWN_KEY}"},
        {"Authorization": f"Bearer {UNKNOWN_KEY.upper()}"},
        {"Authorization": f"Bearer {UNKNOWN_KEY}0"},
        {"Authorization": f"Bearer {UNKNOWN_SESSION}"},
        {"Cookie": f"other={UNKNOWN_SESSION}"},
        {"Cookie": "hive_session="},
        {"Cookie": "hive_session"},
    ],
)
async def test_without_credentials_that_hold_nobody_comes_in(here: Here, headers: dict[str, str]) -> None:
    answer = await refused(here.server.url, headers=headers)
    assert (answer.status, answer.code) == (HTTPStatus.UNAUTHORIZED, Code.UNAUTHORIZED)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_session_that_is_unknown_is_refused_and_a_key_is_no_session(here: Here) -> None:
    for session in (UNKNOWN_SESSION, "x", here.key):
        answer = await refused(here.server.url, session=session, origin=here.accounts.origin)
        assert (answer.status, answer.code) == (HTTPStatus.UNAUTHORIZED, Code.UNAUTHORIZED)


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "http://evil.example",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1",
        "http://127.0.0.1:{other}",
        "http://127.0.0.1:{port}.evil.example",
        "http://127.0.0.1:{port}/",
        "https://hive.example.org.evil.example",
        "http://hive.example.org",
    ],
)
async def test_a_session_from_another_page_is_refused(here: Here, origin: str | None) -> None:
    port = here.server.http_port
    named = None if origin is None else origin.format(port=port, other=port + 1)
    answer = await refused(here.server.url, session=here.session, origin=named)
    assert (answer.status, answer.code) == (HTTPStatus.FORBIDDEN, Code.FORBIDDEN)


async def test_two_origins_are_no_upgrade_request(here: Here) -> None:
    headers = [("Cookie", f"hive_session={here.session}"), ("Origin", here.accounts.origin), ("Origin", "http://x")]
    with pytest.raises(InvalidStatus) as caught:
        await connect(here.server.url + "/hive", additional_headers=headers, proxy=None)
    assert looked_at(caught.value).status == HTTPStatus.BAD_REQUEST


async def test_a_key_comes_in_from_any_page_for_no_browser_sends_one_by_itself(here: Here) -> None:
    async with await dial_hive(here.server.url, key=here.key, origin="http://evil.example") as robot:
        await is_answered(robot)


async def test_a_key_that_is_wrong_is_not_made_good_by_a_session(here: Here) -> None:
    answer = await refused(here.server.url, key=UNKNOWN_KEY, session=here.session, origin=here.accounts.origin)
    assert answer.status == HTTPStatus.UNAUTHORIZED
    two = [("Authorization", f"Bearer {here.key}"), ("Authorization", f"Bearer {here.key}")]
    with pytest.raises(InvalidStatus) as caught:
        await connect(here.server.url + "/hive", additional_headers=two, proxy=None)
    assert looked_at(caught.value).status == HTTPStatus.UNAUTHORIZED


async def test_the_session_is_found_among_other_cookies_and_the_last_one_counts(here: Here) -> None:
    cookies = f"a=b; hive_session=old;hive_session={here.session} ; theme=dark"
    async with await dial_hive(here.server.url, headers={"Cookie": cookies}, origin=here.accounts.origin) as ann:
        await is_answered(ann)


@pytest.mark.parametrize("offered", [[], [SUBPROTOCOL], [SEALED.name, SUBPROTOCOL], ["x", SUBPROTOCOL]])
async def test_the_subprotocol_may_be_offered_or_not(here: Here, offered: list[str]) -> None:
    async with connect(
        here.server.url + "/hive",
        additional_headers={"Authorization": f"Bearer {here.key}"},
        subprotocols=[Subprotocol(name) for name in offered] or None,
        proxy=None,
    ) as socket:
        assert socket.subprotocol == (SUBPROTOCOL if offered else None)
        await is_answered(HiveSocket(socket))


async def test_only_unknown_subprotocols_are_refused(here: Here) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(
            here.server.url + "/hive",
            additional_headers={"Authorization": f"Bearer {here.key}"},
            subprotocols=[Subprotocol(SEALED.name), Subprotocol("chat")],
            proxy=None,
        )
    answer = looked_at(caught.value)
    assert (answer.status, answer.code) == (HTTPStatus.BAD_REQUEST, Code.INVALID_PARAMETER)


async def test_the_path_is_exact(here: Here) -> None:
    for path in ("/hive/", "/hive?key=x", "/Hive", "/hive/tasks"):
        with pytest.raises(InvalidStatus) as caught:
            await connect(
                here.server.url + path, additional_headers={"Authorization": f"Bearer {here.key}"}, proxy=None
            )
        assert caught.value.response.status_code == HTTPStatus.NOT_FOUND
        assert b"/hive" in (caught.value.response.body or b"")


# requests by hand


def upgrade(key: str, *, method: str = "GET", without: str = "", **replaced: str) -> bytes:
    """An upgrade request, right unless it is asked for another one."""
    headers = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Authorization": f"Bearer {key}",
    } | {name.replace("_", "-"): value for name, value in replaced.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if name != without]
    return "\r\n".join([f"{method} /hive HTTP/1.1", *lines, "", ""]).encode()


async def spoken(server: Server, request: bytes) -> bytes:
    """What comes back until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    try:
        async with asyncio.timeout(15):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("status", "request_of"),
    [
        (426, {"without": "Upgrade"}),
        (426, {"without": "Connection"}),
        (400, {"without": "Sec-WebSocket-Key"}),
        (400, {"Sec_WebSocket_Version": "8"}),
        (405, {"method": "POST"}),
    ],
)
async def test_what_is_no_upgrade_is_told_so(here: Here, status: int, request_of: dict[str, str]) -> None:
    answer = await spoken(here.server, upgrade(here.key, **request_of))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body)["error"]["code"] == Code.INVALID_PARAMETER


async def test_frames_before_the_answer_end_the_connection(here: Here) -> None:
    masked_ping = b"\x89\x80\x00\x00\x00\x00"
    text = b"\x81\x82\x00\x00\x00\x00{}"
    for eager in (masked_ping, text, 100 * text):
        assert b"101" not in (await spoken(here.server, upgrade(here.key) + eager))[:16]
    async with await dial_hive(here.server.url, key=here.key) as robot:
        await is_answered(robot)


async def test_whoever_leaves_before_the_answer_leaves_nothing_behind(here: Here) -> None:
    before = len(here.server.find("connection.opened"))
    for _ in range(50):
        _, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
        writer.write(upgrade(here.key))
        writer.transport.abort()
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
        writer.write(upgrade(here.key))
        writer.write_eof()
        writer.close()
    async with await dial_hive(here.server.url, key=here.key) as robot:
        await is_answered(robot)
    opened = here.server.find("connection.opened")[before:]
    for each in opened[:-1]:
        await here.server.event("connection.closed", session=each["session"])


# limits


async def test_connections_of_one_account_at_the_limit_and_one_more(start_server: StartServer) -> None:
    server = await start_server(connections_per_key_max=3)
    accounts = Accounts(server)
    session, other = accounts.person("ann"), accounts.person("bob")
    sockets = [await dial_hive(server.url, session=session, origin=accounts.origin) for _ in range(3)]
    answer = await refused(server.url, session=session, origin=accounts.origin)
    assert (answer.status, answer.code) == (HTTPStatus.TOO_MANY_REQUESTS, Code.TOO_MANY_CONNECTIONS)
    async with await dial_hive(server.url, session=other, origin=accounts.origin) as bystander:
        await is_answered(bystander)
    await sockets.pop().socket.close()
    await server.event("connection.closed", account="user:2")
    async with await dial_hive(server.url, session=session, origin=accounts.origin) as again:
        await is_answered(again)
    for socket in sockets:
        await socket.socket.close()


async def test_upgrades_of_one_account_at_the_same_moment_keep_its_limit(start_server: StartServer) -> None:
    server = await start_server(connections_per_key_max=4)
    accounts = Accounts(server)
    session = accounts.person("ann")
    tries = [dial_hive(server.url, session=session, origin=accounts.origin) for _ in range(12)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, HiveSocket) for outcome in outcomes) == 4
    statuses = [o.response.status_code for o in outcomes if isinstance(o, InvalidStatus)]
    assert statuses == 8 * [HTTPStatus.TOO_MANY_REQUESTS]
    for outcome in outcomes:
        if isinstance(outcome, HiveSocket):
            await outcome.socket.close()


async def test_wrong_keys_count_against_the_address_at_the_limit_and_one_more(start_server: StartServer) -> None:
    server = await start_server(failed_hellos_per_address_max=5, rate_limit_window=600)
    accounts = Accounts(server)
    session = accounts.person("ann")
    for _ in range(4):
        assert (await refused(server.url, key=UNKNOWN_KEY)).status == HTTPStatus.UNAUTHORIZED
    async with await dial_hive(server.url, session=session, origin=accounts.origin) as ann:
        await is_answered(ann)
        assert (await refused(server.url, session=session)).status == HTTPStatus.FORBIDDEN  # the fifth
        answer = await refused(server.url, session=session, origin=accounts.origin)
        assert (answer.status, answer.code) == (HTTPStatus.TOO_MANY_REQUESTS, Code.TOO_MANY_CONNECTIONS)
        assert 590 <= int(answer.headers["Retry-After"]) <= 600
        await is_answered(ann)
        session_elsewhere = await dial_hive(
            server.url, session=session, origin=accounts.origin, local_address="127.0.0.2"
        )
        await is_answered(session_elsewhere)
        await session_elsewhere.socket.close()


async def test_all_connections_taken(start_server: StartServer) -> None:
    server = await start_server(connections_max=2)
    accounts = Accounts(server)
    session = accounts.person("ann")
    sockets = [await dial_hive(server.url, session=session, origin=accounts.origin) for _ in range(2)]
    answer = await refused(server.url, session=session, origin=accounts.origin)
    assert (answer.status, answer.code) == (HTTPStatus.SERVICE_UNAVAILABLE, Code.TOO_MANY_CONNECTIONS)
    assert int(answer.headers["Retry-After"]) == 1
    for socket in sockets:
        await socket.socket.close()


async def test_credentials_travel_in_the_open_on_loopback_alone(start_server: StartServer) -> None:
    server = await start_server(trusted_proxies="127.0.0.1")
    accounts = Accounts(server)
    given: dict[str, Any] = {"session": accounts.person("ann"), "origin": accounts.origin}
    async with await dial_hive(server.url, headers={"X-Forwarded-For": "127.0.0.9"}, **given) as ann:
        await is_answered(ann)
    answer = await refused(server.url, headers={"X-Forwarded-For": "192.0.2.9"}, **given)
    assert (answer.status, answer.code) == (HTTPStatus.FORBIDDEN, Code.FORBIDDEN)


async def test_no_secret_is_in_the_log(here: Here) -> None:
    async with await dial_hive(here.server.url, key=here.key) as robot:
        await is_answered(robot)
    await refused(here.server.url, key=here.key + "0")
    await refused(here.server.url, session=here.session)
    written = here.server.log_path.read_text() + here.server.stderr_path.read_text()
    assert here.key.removeprefix("th_agent_")[8:] not in written
    assert here.session not in written
