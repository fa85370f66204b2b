"""Bans as rows: how long, whom they cost standing, what an operator may do, and what a new start says again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocol.errors import Code, MessageError
from tests.vault_server.people import solver
from tests.vault_server.storage.rows import committed, sql
from vault_server.core.operation import (
    OPERATOR,
    SERVER,
    BanChanged,
    Caller,
    Effect,
    Endpoint,
    LogEvent,
    Reader,
    System,
    Transaction,
)
from vault_server.exchange import bans
from vault_server.exchange.bans import (
    DAY_MS,
    KEPT_MS,
    LIFTED_MS,
    BanKey,
    BanOffender,
    KeyBanned,
    KeyUnbanned,
    RestoreBans,
    UnbanKey,
    duration_ms,
)
from vault_server.storage.database import Database

ANN = solver("ann").fingerprint
BOB = solver("bob").fingerprint
NOW = 1_700_000_000_000
SECONDS = 300
ALL = sql("SELECT subject, cause, created_at, until, lifted_at FROM bans ORDER BY id")


class World:
    """The operations of bans on a real database, and whom the penalties hit."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.punished: list[tuple[str, int]] = []
        self.system: System = bans.system(SECONDS, {Endpoint.SOLVER: self._punish})
        self.effects: list[Effect] = []

    def _punish(self, tx: Transaction, fingerprint: str, now_ms: int) -> None:
        assert tx.all(ALL), "in the transaction that writes the ban"
        self.punished.append((fingerprint, now_ms))

    async def give(self, order: Any, now_ms: int, caller: Caller = SERVER) -> Any:
        """Carry out an order; its reply. Raises its refusal."""
        [operation] = [each for each in self.system.operations if each.order is type(order)]
        assert caller.endpoint in operation.callers
        [outcome] = await self.database.transact([lambda tx: operation.handler(tx, caller, order, now_ms)])
        if outcome.error is not None:
            raise outcome.error
        self.effects = outcome.effects
        return outcome.value

    async def offend(self, now_ms: int, fingerprint: str = ANN, endpoint: Endpoint = Endpoint.SOLVER) -> int:
        """Ban an offender; for how long, in ms."""
        await self.give(BanOffender(fingerprint, endpoint, "more than 20 messages"), now_ms)
        [change] = self.changes()
        assert change.until_ms is not None
        return change.until_ms - now_ms

    def changes(self) -> list[BanChanged]:
        return [effect for effect in self.effects if isinstance(effect, BanChanged)]

    def logged(self) -> list[str]:
        return [effect.event for effect in self.effects if isinstance(effect, LogEvent)]

    async def ask(self, about: str, now_ms: int) -> Any:
        [report] = self.system.reports
        return await self.read(lambda reader: report.read(reader, about, now_ms))

    async def read(self, function: Callable[[Reader], Any]) -> Any:
        return await self.database.read(function)


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


# how long


@pytest.mark.parametrize(
    ("earlier", "seconds"), [(0, 300), (1, 600), (2, 1200), (8, 76_800), (9, 86_400), (10, 86_400), (10_000, 86_400)]
)
def test_each_ban_is_twice_as_long_up_to_a_day(earlier: int, seconds: int) -> None:
    assert duration_ms(300_000, earlier) == seconds * 1000


def test_a_first_ban_of_a_day_stays_one() -> None:
    assert duration_ms(DAY_MS, 5) == DAY_MS


async def test_bans_double_within_a_day(world: World) -> None:
    assert await world.offend(NOW) == SECONDS * 1000
    assert await world.offend(NOW + 1_000_000) == 2 * SECONDS * 1000
    assert await world.offend(NOW + 2_000_000) == 4 * SECONDS * 1000
    assert await world.offend(NOW + 2_000_000, BOB) == SECONDS * 1000, "each key has its own"


@pytest.mark.parametrize(("later_ms", "factor"), [(SECONDS * 1000 + DAY_MS - 1, 2), (SECONDS * 1000 + DAY_MS, 1)])
async def test_a_ban_counts_until_a_day_after_its_end(world: World, later_ms: int, factor: int) -> None:
    await world.offend(NOW)
    assert await world.offend(NOW + later_ms) == factor * SECONDS * 1000


async def test_what_an_operator_lifted_does_not_count(world: World) -> None:
    await world.offend(NOW)
    await world.give(UnbanKey(ANN), NOW + 1, OPERATOR)
    assert await world.offend(NOW + 2) == SECONDS * 1000
    assert world.punished == []


async def test_an_operators_ban_does_not_count(world: World) -> None:
    await world.give(BanKey(ANN, 10, "asked to"), NOW, OPERATOR)
    assert await world.offend(NOW + 20_000) == SECONDS * 1000


# standing


async def test_standing_is_lost_from_the_second_time_in_a_day(world: World) -> None:
    await world.offend(NOW)
    assert world.punished == []
    await world.offend(NOW + 1_000_000)
    await world.offend(NOW + 2_000_000)
    assert world.punished == [(ANN, NOW + 1_000_000), (ANN, NOW + 2_000_000)]


async def test_no_standing_where_there_is_none(world: World) -> None:
    for _ in range(3):
        await world.offend(NOW, endpoint=Endpoint.CLIENT)
    assert world.punished == []


async def test_a_penalty_that_fails_undoes_the_ban_with_it(world: World) -> None:
    await world.offend(NOW)

    def stumble(_tx: Transaction, _fingerprint: str, _now_ms: int) -> None:
        raise ZeroDivisionError

    world.system = bans.system(SECONDS, {Endpoint.SOLVER: stumble})
    with pytest.raises(ZeroDivisionError):
        await world.offend(NOW + 1)
    assert len(await world.read(lambda reader: reader.all(ALL))) == 1


# operators


async def test_an_operator_bans_and_unbans(world: World) -> None:
    assert await world.give(BanKey(ANN, 60, "a test"), NOW, OPERATOR) == KeyBanned(ANN, NOW + 60_000)
    assert world.changes() == [BanChanged(f"key:{ANN}", NOW + 60_000, "a test")]
    assert world.logged() == ["key.banned"]
    assert await world.give(UnbanKey(ANN), NOW + 1, OPERATOR) == KeyUnbanned(ANN, 1)
    [change] = world.changes()
    assert change.until_ms is None
    assert world.logged() == ["key.unbanned"]
    assert await world.give(UnbanKey(ANN), NOW + 2, OPERATOR) == KeyUnbanned(ANN, 0)
    assert world.logged() == []


async def test_the_longest_of_several_bans_holds(world: World) -> None:
    await world.give(BanKey(ANN, 10_000, "long"), NOW, OPERATOR)
    assert await world.give(BanKey(ANN, 10, "short"), NOW, OPERATOR) == KeyBanned(ANN, NOW + 10_000_000)
    assert world.changes() == [BanChanged(f"key:{ANN}", NOW + 10_000_000, "long")]
    await world.offend(NOW)
    assert world.changes() == [BanChanged(f"key:{ANN}", NOW + 10_000_000, "long")]
    assert await world.give(UnbanKey(ANN), NOW + 1, OPERATOR) == KeyUnbanned(ANN, 3)


BAD = [
    (BanKey("ab", 10, "x"), "fingerprint"),
    (BanKey(ANN.upper() + "é", 10, "x"), "fingerprint"),
    (BanKey("g" * 32, 10, "x"), "fingerprint"),
    (BanKey(ANN, 0, "x"), "seconds"),
    (BanKey(ANN, bans.SECONDS_MAX + 1, "x"), "seconds"),
    (BanKey(ANN, 10, ""), "reason"),
    (BanKey(ANN, 10, "x" * (bans.REASON_LENGTH_MAX + 1)), "reason"),
    (BanKey(ANN, 10, "a\nb"), "reason"),
    (UnbanKey("ab"), "fingerprint"),
]


@pytest.mark.parametrize(("order", "field"), BAD)
async def test_what_an_operator_mistypes_is_refused_and_named(world: World, order: Any, field: str) -> None:
    with pytest.raises(MessageError) as raised:
        await world.give(order, NOW, OPERATOR)
    assert raised.value.code is Code.BAD_FIELD
    assert field in raised.value.message


@pytest.mark.parametrize("seconds", [1, bans.SECONDS_MAX])
async def test_the_shortest_and_the_longest(world: World, seconds: int) -> None:
    reason = "x" * bans.REASON_LENGTH_MAX
    assert await world.give(BanKey(ANN, seconds, reason), NOW, OPERATOR) == KeyBanned(ANN, NOW + seconds * 1000)


async def test_the_report_lists_bans_in_force_and_all_of_one_key(world: World) -> None:
    await world.give(BanKey(BOB, 10_000, "asked to"), NOW, OPERATOR)
    await world.offend(NOW)
    first = {
        "fingerprint": BOB,
        "cause": "operator",
        "reason": "asked to",
        "created": NOW,
        "until": NOW + 10_000_000,
        "lifted": None,
    }
    second = first | {
        "fingerprint": ANN,
        "cause": "rate_limit",
        "reason": "more than 20 messages",
        "until": NOW + SECONDS * 1000,
    }
    assert await world.ask("", NOW) == [first, second]
    assert await world.ask("", NOW + SECONDS * 1000) == [first], "the second one has ended by itself"
    await world.give(UnbanKey(BOB), NOW + 5, OPERATOR)
    assert await world.ask("", NOW + SECONDS * 1000) == []
    assert await world.ask(BOB, NOW + DAY_MS) == [first | {"lifted": NOW + 5}]
    assert await world.ask(solver("cid").fingerprint, NOW) == []


async def test_the_gauge_counts_keys_not_bans(world: World) -> None:
    [gauge] = world.system.gauges
    await world.give(BanKey(ANN, 10, "one"), NOW, OPERATOR)
    await world.give(BanKey(ANN, 20, "two"), NOW, OPERATOR)
    await world.give(BanKey(BOB, 30, "three"), NOW, OPERATOR)

    async def kept_out(later_ms: int) -> Any:
        return await world.read(lambda reader: gauge.read(reader, NOW + later_ms))

    counted = [await kept_out(later_ms) for later_ms in (0, 19_999, 20_000, 30_000)]
    assert counted == [{"": 2}, {"": 2}, {"": 1}, {"": 0}]


# restarts and time


async def test_a_start_says_again_who_is_kept_out(world: World) -> None:
    await world.give(BanKey(ANN, 100, "long"), NOW, OPERATOR)
    await world.give(BanKey(ANN, 10, "short"), NOW, OPERATOR)
    await world.give(BanKey(BOB, 50, "other"), NOW, OPERATOR)
    await world.give(RestoreBans(), NOW + 5_000)
    assert {change.subject: change.until_ms for change in world.changes()} == {
        f"key:{ANN}": NOW + 100_000,
        f"key:{BOB}": NOW + 50_000,
    }, "of one key the last change counts"
    await world.give(RestoreBans(), NOW + 50_000)
    assert world.changes() == [BanChanged(f"key:{ANN}", NOW + 100_000, "long")]
    await world.give(UnbanKey(ANN), NOW + 50_000, OPERATOR)
    await world.give(RestoreBans(), NOW + 50_000)
    assert [(change.subject, change.until_ms) for change in world.changes()] == [(f"key:{ANN}", None)]
    await world.give(RestoreBans(), NOW + 50_000 + LIFTED_MS + 1)
    assert world.changes() == []


async def test_old_bans_are_forgotten(world: World) -> None:
    await world.offend(NOW)
    ended_ms = NOW + SECONDS * 1000
    [tidy] = world.system.tidying
    assert await committed(world.database, lambda tx: tidy(tx, ended_ms + KEPT_MS)) == 0
    assert len(await world.ask(ANN, NOW)) == 1
    assert await committed(world.database, lambda tx: tidy(tx, ended_ms + KEPT_MS + 1)) == 1
    assert await world.ask(ANN, NOW) == []
