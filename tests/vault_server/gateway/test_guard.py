"""The guard with a real dispatcher and a real database: who is shown out and when, also when the disk is full."""

from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from protocol.session import Ping
from tests.vault_server.dispatch.conftest import allow_writing, eventually, forbid_writing, log
from tests.vault_server.people import client, solver
from tests.vault_server.storage.rows import sql
from vault_server.clock import Clock
from vault_server.core.operation import OPERATOR, BanChanged, Caller, Effect
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.dispatch.router import Router
from vault_server.exchange import bans
from vault_server.exchange.admission import Admission, Allowances
from vault_server.exchange.bans import BanKey, UnbanKey
from vault_server.gateway import guard as module
from vault_server.gateway.guard import Guard
from vault_server.gateway.roster import Roster
from vault_server.settings import Settings
from vault_server.storage.sqlite import SqliteDatabase

__all__ = ["log"]

ANN, ANN_ASKS, BOB = solver("ann"), client("ann"), solver("bob")
SECONDS = 60
Log = list[MutableMapping[str, Any]]


class Peer:
    """A connection that keeps why it was shown out."""

    def __init__(self) -> None:
        self.refusals: list[MessageError] = []

    def signal(self, message: Message) -> None:
        raise AssertionError("nothing is relayed here")

    def close(self, code: int, reason: str) -> None:
        raise AssertionError("who is banned is told why")

    def banish(self, refusal: MessageError) -> None:
        self.refusals.append(refusal)


class Later(Clock):
    """The machine's time, and some."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class World:
    """A guard with what it needs; every key may say one thing."""

    def __init__(self, database: SqliteDatabase) -> None:
        settings = Settings(max_requests_per_window=1, max_requests_per_window_client=1, ban_duration=SECONDS)
        operations = bans.system(SECONDS, {}).operations
        self.clock = Later()
        self.database = database
        self.roster = Roster()
        self.dispatcher = Dispatcher(settings, self.clock, database, Router(operations), self._carry_out)
        self.guard = Guard(settings, self.clock, Admission(settings, operations), self.dispatcher, self.roster)

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, BanChanged):
                self.guard.ban_changed(effect)

    def present(self, caller: Caller) -> Peer:
        peer = Peer()
        self.roster.add(caller, peer, exclusive=False)
        return peer

    def say(self, peer: Peer, caller: Caller) -> bool:
        return self.guard.admit(peer, caller, Ping(), Allowances(0), 0)

    def offend(self, peer: Peer, caller: Caller) -> None:
        """One that fits, one that is warned of, one that is too many."""
        assert self.say(peer, caller)
        with pytest.raises(MessageError) as raised:
            self.say(peer, caller)
        assert raised.value.code is Code.RATE_LIMITED
        assert not self.say(peer, caller)

    def is_kept_out(self, caller: Caller) -> bool:
        try:
            self.guard.check_hello(caller.subject)
        except MessageError as refusal:
            return refusal.code is Code.BANNED and (refusal.retry_after_ms or 0) > 0
        return False


@pytest.fixture
async def world(database: SqliteDatabase) -> AsyncIterator[World]:
    made = World(database)
    await made.dispatcher.start()
    yield made
    await made.dispatcher.stop()


async def test_every_connection_of_the_key_is_shown_out_once_the_ban_is_on_disk(world: World) -> None:
    first, second, asks = world.present(ANN), world.present(ANN), world.present(ANN_ASKS)
    newcomer, other = Peer(), world.present(BOB)  # the newcomer has said nothing yet and is in no roster
    world.offend(first, ANN)
    assert not world.say(newcomer, ANN)
    assert not world.say(asks, ANN_ASKS)
    assert world.is_kept_out(ANN), "from the violation on"
    assert not any(peer.refusals for peer in (first, second, asks, newcomer))
    await eventually(lambda: first.refusals)
    assert [len(peer.refusals) for peer in (first, second, asks, newcomer, other)] == [1, 1, 1, 1, 0]
    [refusal] = first.refusals
    assert refusal.code is Code.BANNED
    assert refusal.retry_after_ms is not None
    assert 0 < refusal.retry_after_ms <= SECONDS * 1000
    assert "more than 1 messages in 10 s on /solver" in refusal.message
    assert len(await world.database.read(lambda reader: reader.all(sql("SELECT id FROM bans")))) == 1
    with pytest.raises(MessageError) as raised:
        world.say(first, ANN)
    assert raised.value.code is Code.BANNED, "a connection that somehow stayed is closed when it speaks"


async def test_a_ban_ends_by_itself_and_the_key_begins_anew(world: World) -> None:
    peer = world.present(ANN)
    world.offend(peer, ANN)
    await eventually(lambda: peer.refusals)
    world.clock.ahead_ms = SECONDS * 1000 - 1_000
    assert world.is_kept_out(ANN)
    world.clock.ahead_ms = SECONDS * 1000
    assert not world.is_kept_out(ANN)
    assert world.say(peer, ANN)


async def test_a_ban_that_cannot_be_written_holds_all_the_same(world: World, log: Log) -> None:
    peer = world.present(ANN)
    await forbid_writing(world.database)
    world.offend(peer, ANN)
    await eventually(lambda: peer.refusals)
    await allow_writing(world.database)
    assert [line["fingerprint"] for line in log if line["event"] == "ban.unwritten"] == [ANN.fingerprint]
    assert world.is_kept_out(ANN)
    world.clock.ahead_ms = SECONDS * 1000
    assert not world.is_kept_out(ANN)


async def test_a_ban_holds_when_a_defect_has_kept_its_effect_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(_effects: list[Effect]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.dispatcher, "_effects", stumble)
    peer = world.present(ANN)
    world.offend(peer, ANN)
    await eventually(lambda: peer.refusals)
    assert world.is_kept_out(ANN)


async def test_an_operator_ends_also_what_could_not_be_written(world: World) -> None:
    peer = world.present(ANN)
    await forbid_writing(world.database)
    world.offend(peer, ANN)
    await eventually(lambda: peer.refusals)
    await allow_writing(world.database)
    await world.dispatcher.call(OPERATOR, UnbanKey(ANN.fingerprint))
    assert not world.is_kept_out(ANN)


async def test_an_operator_shows_somebody_out_and_lets_them_in_again(world: World) -> None:
    peer, other = world.present(ANN), world.present(BOB)
    await world.dispatcher.call(OPERATOR, BanKey(ANN.fingerprint, 10, "for a while"))
    await eventually(lambda: peer.refusals)
    assert "for a while" in peer.refusals[0].message
    assert not other.refusals
    assert world.is_kept_out(ANN_ASKS)
    await world.dispatcher.call(OPERATOR, UnbanKey(ANN.fingerprint))
    assert not world.is_kept_out(ANN_ASKS)


async def test_bans_that_have_ended_do_not_pile_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIDY_FROM", 4)
    world.guard._tidy_at = 4
    now_ms = world.clock.now_ms()
    world.guard.ban_changed(BanChanged("key:long", now_ms + 10**9, "long"))
    for number in range(100):
        world.guard.ban_changed(BanChanged(f"key:{number}", now_ms, "ended"))
    assert len(world.guard._banned) <= 4
    assert "key:long" in world.guard._banned
