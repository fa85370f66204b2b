"""The SDK and the solver against a real server that limits and bans: ours keep its pace, and sit a ban out."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from protocol.identity import Identity
from protocol.puzzle import Puzzle, Ticket
from protocol.session import Ping, Pong
from tests.conftest import StartServer, StartSolver
from tests.dialling import dial
from tests.processes import Server
from tests.vault_client.conftest import Client
from vault_client import Banned, ConnectionEvent, TaskProgress, Vault, connect

SMALL: dict[str, Any] = {"max_requests_per_window_client": 10, "rate_limit_window": 1, "ban_duration": 2}


async def submit(vault: Vault, puzzle: Puzzle, t: int) -> str:
    return (await vault.submit(t=t, baseg=puzzle.base, product=puzzle.modulus)).id


async def banned(server: Server, identity: Identity) -> None:
    async with await dial(server.url, identity=identity) as raw:
        for _ in range(12):
            await raw.send(Ping())
        assert await raw.closed() == 4403


async def test_thirty_requests_at_once_take_their_time_and_all_succeed(
    start_server: StartServer, made: tuple[Puzzle, int, Ticket]
) -> None:
    server = await start_server(**SMALL)
    async with connect(server.url, identity=Identity.generate()) as vault:
        started = asyncio.get_running_loop().time()
        tasks = await asyncio.gather(*(submit(vault, made[0], t) for t in range(1, 31)))
        assert len(set(tasks)) == 30
        assert asyncio.get_running_loop().time() - started >= 2, "30 at 8 a second"
        assert {line.task async for line in vault.tasks()} == set(tasks)
    assert not server.find("request.limited")


async def test_a_connection_that_breaks_keeps_the_pace(
    start_server: StartServer, made: tuple[Puzzle, int, Ticket]
) -> None:
    server = await start_server(**SMALL)
    async with connect(server.url, identity=Identity.generate()) as vault:
        for _ in range(2):
            await asyncio.gather(*(submit(vault, made[0], t) for t in range(1, 9)))
            conversation = vault._link._latest
            assert conversation is not None
            conversation._socket.transport.abort()
        await submit(vault, made[0], 1)
    assert not server.find("request.limited")


async def test_what_others_with_the_key_have_used_up_is_waited_for(
    start_server: StartServer, made: tuple[Puzzle, int, Ticket]
) -> None:
    server = await start_server(**SMALL)
    identity = Identity.generate()
    async with connect(server.url, identity=identity) as vault, await dial(server.url, identity=identity) as other:
        for _ in range(10):
            await other.ask(Ping(), Pong)
        await submit(vault, made[0], 5)
    assert len(server.find("request.limited")) == 1


async def test_a_ban_is_told_with_its_time_or_waited_out(
    start_server: StartServer, made: tuple[Puzzle, int, Ticket]
) -> None:
    server = await start_server(**SMALL)
    identity = Identity.generate()
    events: list[ConnectionEvent] = []
    async with (
        connect(server.url, identity=identity) as impatient,
        connect(server.url, identity=identity, ban_seconds_max=5, on_connection=events.append) as patient,
    ):
        await banned(server, identity)
        with pytest.raises(Banned) as caught:
            await submit(impatient, made[0], 5)
        assert 0 < caught.value.seconds_left <= 2
        with pytest.raises(Banned) as caught:
            async with connect(server.url, identity=identity):
                pass
        assert caught.value.code == "BANNED"
        await asyncio.wait_for(submit(patient, made[0], 5), 10)
    assert [event.connected for event in events] == [True, False, False, True]
    assert events[2].banned_seconds == pytest.approx(2, abs=1)


async def test_the_command_line_says_until_when_and_goes_on(
    start_server: StartServer, tmp_path: Path, made: tuple[Puzzle, int, Ticket]
) -> None:
    server = await start_server(**(SMALL | {"ban_duration": 15}))  # long enough for programs to start
    client = Client(tmp_path, server)
    puzzle = ("--t", 5, "--baseg", 3, "--product", made[0].modulus)
    try:
        await banned(server, client.identity)
        refused = client.start("submit", *puzzle, "--no-wait", "--json")
        waiting = client.start("submit", *puzzle)  # at the same time: both have to start before the ban ends
        out, errors = await client.end(refused, code=1)
        told = json.loads(errors)
        assert (out, told["code"], told["retryable"]) == ("", "BANNED", True)
        assert 0 < told["retry_after_ms"] <= 15_000
        await server.event("task.submitted", client=client.identity.fingerprint, seconds=45)
        waiting.send_signal(signal.SIGINT)
        _, errors = await client.end(waiting, code=130)
        assert re.search(r"banned this key until \d\d:\d\d:\d\d", errors)
    finally:
        client.kill_all()


async def test_a_solver_keeps_the_pace(
    start_server: StartServer, start_solver: StartSolver, made: tuple[Puzzle, int, Ticket]
) -> None:
    server = await start_server(max_requests_per_window=5, rate_limit_window=1)
    await start_solver(server, arguments=["--calibration", "0.02"])
    async with connect(server.url, identity=Identity.generate()) as vault:
        for t in range(1, 16):
            task = await vault.submit(t=t, baseg=3, product=made[0].modulus)
            assert (await task.answer()).y == pow(3, 2**t, made[0].modulus)
        endless = await vault.submit(t=10**12, baseg=3, product=made[0].modulus)
        async with asyncio.timeout(20), aclosing(vault.events()) as events:
            shown = 0
            while shown < 3:
                shown += isinstance(await anext(events), TaskProgress)
        await vault.cancel(endless.id)
    assert not server.find("request.limited")
