"""Who may come and who may stay on /hive, with real rows: many at once, and what ends while it is being looked up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Close, Code, MessageError
from tests.vault_server.conftest import NewDatabase
from tests.vault_server.dispatch.conftest import eventually, log
from tests.vault_server.systems.hive.harness import Hive, number_of, settings_for
from vault_server.clock import Clock
from vault_server.core.operation import SERVER, AccountChanged, Caller, Effect, Query, Reader
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.dispatch.router import Router
from vault_server.gateway.account_watch import BATCH, AccountWatch, Credentials
from vault_server.systems.hive.doors import HiveAccounts
from vault_server.systems.hive.orders import CloseSession, OpenSession, SessionOpened

__all__ = ["log"]

PLACE = "192.0.2.1"
SELDOM_MS, OFTEN_MS = 3_600_000, 100
Log = list[MutableMapping[str, Any]]


class Guest:
    """A connection that keeps why it was told to go."""

    def __init__(self) -> None:
        self.dismissed: list[tuple[Code, Close]] = []

    def dismiss(self, refusal: MessageError, code: Close) -> None:
        self.dismissed.append((refusal.code, code))


class SlowAccounts(HiveAccounts):
    """The hive's, whose answer about an agent can be held back once the rows are read."""

    may_answer = threading.Event()
    has_read = threading.Event()

    def agent(self, reader: Reader, key: str, address: str) -> Caller:
        caller = super().agent(reader, key, address)
        self.has_read.set()
        assert self.may_answer.wait(10)
        return caller


class World:
    """A watch on a hive's rows; orders go through a dispatcher that tells it what has changed."""

    def __init__(self, hive: Hive, pause_ms: int) -> None:
        self.hive = hive
        self.dispatcher = Dispatcher(
            hive.settings, Clock(), hive.database, Router(hive.system.operations), self._carry_out
        )
        self.accounts = SlowAccounts(hive.parts)
        self.accounts.may_answer.set()
        self.watch = AccountWatch(self.dispatcher, Clock(), self.accounts, pause_ms)

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, AccountChanged):
                self.watch.changed(effect.account)

    async def agent(self, operator: Caller, name: str = "robot") -> tuple[int, str]:
        """An agent's id and key."""
        made = await self.dispatcher.call(operator, wire.RegisterAgent(name=name, description="It works."))
        return made.agent.id, made.api_key

    async def session(self, user: Caller) -> str:
        opened: SessionOpened = await self.dispatcher.call(SERVER, OpenSession(number_of(user)))
        return opened.token

    async def change(self, statement: str) -> None:
        """Rows change, and nobody here is told."""
        [outcome] = await self.hive.database.transact([lambda tx: tx.run(Query("change", statement))])
        assert outcome.error is None, outcome.error

    async def come(self, secret: str, *, is_session: bool = False) -> tuple[Guest, Caller | MessageError]:
        """Ask, and stay when that is allowed, as a connection does."""
        known: asyncio.Future[Caller | MessageError] = asyncio.get_running_loop().create_future()
        guest, credentials = Guest(), Credentials(secret, is_session)

        def answered(caller: Caller | None, refusal: MessageError | None) -> None:
            if caller is not None:
                self.watch.enter(guest, self.watch.held(caller, credentials))
            known.set_result(caller or refusal or AssertionError("neither"))  # type: ignore[arg-type]

        self.watch.ask(credentials, PLACE, answered)
        return guest, await known


@pytest.fixture
async def hive(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Hive]:
    """A hive's rows on either database."""
    made = Hive(new_database(), settings_for(tmp_path))
    await made.start()
    yield made
    await made.database.stop()


@pytest.fixture(params=[SELDOM_MS])
async def world(hive: Hive, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Started; it looks at everybody every hour, unless the test says otherwise."""
    made = World(hive, request.param)
    await made.dispatcher.start()
    await made.watch.start()
    yield made
    await made.watch.stop()
    await made.dispatcher.stop()


often = pytest.mark.parametrize("world", [OFTEN_MS], indirect=True)


async def test_many_who_come_at_once_are_told_each_for_himself(world: World) -> None:
    bob = await world.hive.person("bob")
    agents = [await world.agent(bob, f"robot {number}") for number in range(5)]
    tries = [world.come(agents[n % 5][1] if n % 7 else f"th_agent_{n:064x}") for n in range(BATCH + 100)]
    for number, (_, answer) in enumerate(await asyncio.gather(*tries)):
        if number % 7:
            assert isinstance(answer, Caller)
            assert (answer.account, answer.address) == (f"agent:{agents[number % 5][0]}", PLACE)
        else:
            assert isinstance(answer, MessageError)
            assert answer.code is Code.UNAUTHORIZED


async def test_what_ends_while_it_is_looked_up_lets_nobody_stay(world: World) -> None:
    bob = await world.hive.person("bob")
    number, key = await world.agent(bob)
    world.accounts.may_answer.clear()
    world.accounts.has_read.clear()
    coming = asyncio.create_task(world.come(key))
    await eventually(world.accounts.has_read.is_set)
    await world.dispatcher.call(bob, wire.RotateKey(agent_id=number))
    world.accounts.may_answer.set()
    guest, answer = await coming
    assert isinstance(answer, Caller), "the rows said so when they were read"
    await eventually(lambda: guest.dismissed == [(Code.UNAUTHORIZED, Close.CREDENTIALS_ENDED)])


async def test_only_who_holds_what_has_ended_goes(world: World) -> None:
    bob, ann = await world.hive.person("bob"), await world.hive.person("ann")
    number, old = await world.agent(bob)
    session, other = await world.session(bob), await world.session(bob)
    his, another, hers = [
        (await world.come(each, is_session=True))[0] for each in (session, other, await world.session(ann))
    ]
    by_old, _ = await world.come(old)
    told: reply.AgentKey = await world.dispatcher.call(bob, wire.RotateKey(agent_id=number))
    by_new, _ = await world.come(told.api_key)
    await eventually(lambda: by_old.dismissed == [(Code.UNAUTHORIZED, Close.CREDENTIALS_ENDED)])
    await world.dispatcher.call(SERVER, CloseSession(session))
    await eventually(lambda: his.dismissed == [(Code.UNAUTHORIZED, Close.CREDENTIALS_ENDED)])
    await world.dispatcher.call(bob, wire.SetAgentStatus(agent_id=number, status="paused"))
    await eventually(lambda: by_new.dismissed == [(Code.FORBIDDEN, Close.AGENT_INACTIVE)])
    assert another.dismissed == hers.dismissed == []


async def test_who_has_left_is_told_nothing(world: World) -> None:
    bob = await world.hive.person("bob")
    number, key = await world.agent(bob)
    (gone, caller), (here, _) = await world.come(key), await world.come(key)
    assert isinstance(caller, Caller)
    world.watch.leave(gone, world.watch.held(caller, Credentials(key, is_session=False)))
    await world.dispatcher.call(bob, wire.RevokeKey(agent_id=number))
    await eventually(lambda: len(here.dismissed) == 1)
    assert gone.dismissed == []


@often
async def test_everybody_is_looked_at_now_and_then(world: World) -> None:
    bob = await world.hive.person("bob")
    session = await world.session(bob)
    guest, _ = await world.come(session, is_session=True)
    await world.change("DELETE FROM hive_sessions")  # as another node would, whose hint was lost
    await eventually(lambda: guest.dismissed == [(Code.UNAUTHORIZED, Close.CREDENTIALS_ENDED)])


@often
async def test_nobody_has_to_go_because_the_rows_cannot_be_read(world: World, log: Log) -> None:
    bob = await world.hive.person("bob")
    guest, _ = await world.come(await world.session(bob), is_session=True)
    await world.change("ALTER TABLE hive_sessions RENAME TO sessions_of_the_hive")
    try:
        await eventually(lambda: any(line["event"] == "accounts.unread" for line in log))
        _, answer = await world.come(64 * "0", is_session=True)
    finally:
        await world.change("ALTER TABLE sessions_of_the_hive RENAME TO hive_sessions")
    assert isinstance(answer, MessageError)
    assert answer.code is Code.UNAVAILABLE
    assert guest.dismissed == []
    await world.change("DELETE FROM hive_sessions")
    await eventually(lambda: len(guest.dismissed) > 0)


async def test_a_receiver_that_fails_does_not_stop_the_others(world: World, log: Log) -> None:
    def fail(_caller: Caller | None, _refusal: MessageError | None) -> None:
        raise LookupError("gone")

    world.watch.ask(Credentials("x", is_session=True), PLACE, fail)
    _, answer = await world.come("y", is_session=True)
    assert isinstance(answer, MessageError)
    assert [line["event"] for line in log] == ["reply.failed"]


async def test_credentials_show_themselves_nowhere() -> None:
    assert "secret" not in repr(Credentials("a secret", is_session=True))
