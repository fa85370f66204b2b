"""Leases of nodes: who has a name, who is gone, who comes back, and who is excused."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import Code
from vault_server.core.operation import SERVER, Effect, Job, JobDue, LogEvent, Refusal, System, Transaction
from vault_server.exchange import presence, rekeying
from vault_server.exchange.cipher import Cipher
from vault_server.exchange.presence import ClaimNode, LeaveNode, RenewLease
from vault_server.exchange.rekeying import RotateMasterKey
from vault_server.keys import GivenKeys
from vault_server.storage.database import Database

NOW, LEASE = 1_700_000_000_000, 10_000


def randomness(count: int) -> bytes:
    return b"r" * count


class Node:
    """One node's presence, and what it did with the others."""

    def __init__(self, database: Database, name: str, run: str = "1") -> None:
        self.database = database
        self.absent: list[str] = []
        self.returned: list[str] = []
        self.effects: list[Effect] = []
        job = Job("judge", lambda *_: None, lambda _: None, lambda *_: None, lambda _reader: ["7", "8"])
        other = System(
            name="other",
            doors=[],
            operations=[],
            pushes=[],
            jobs=[job],
            absent=[lambda _tx, node, _now: self.absent.append(node)],
            returned=[lambda _tx, node, _now: self.returned.append(node)],
        )
        self._handlers = {
            operation.order: operation.handler for operation in presence.system(name, run, LEASE, [other]).operations
        }

    async def give(self, order: Any, now_ms: int) -> Any:
        def work(tx: Transaction) -> Any:
            return self._handlers[type(order)](tx, SERVER, order, now_ms)

        [outcome] = await self.database.transact([work])
        assert outcome.error is None, outcome.error
        self.effects += outcome.effects
        return outcome.value


async def test_a_new_name_is_taken_at_once(database: Database) -> None:
    assert await Node(database, "a").give(ClaimNode(), NOW) is None


async def test_a_name_is_held_as_long_as_its_lease_is_renewed(database: Database) -> None:
    first, second = Node(database, "a", "1"), Node(database, "a", "2")
    await first.give(ClaimNode(), NOW)
    held = await second.give(ClaimNode(), NOW + 5_000)
    if not database.is_shared:
        assert held is None  # a file has one server: the other one is dead
        return
    assert held == NOW + LEASE
    assert await first.give(RenewLease(), NOW + 6_000) is True
    assert await second.give(ClaimNode(seen=held), NOW + 7_000) == NOW + 6_000 + LEASE
    assert await first.give(RenewLease(), NOW + 8_000) is True


async def test_a_name_that_nobody_renews_is_taken_over_and_the_dead_one_would_notice(database: Database) -> None:
    first, second = Node(database, "a", "1"), Node(database, "a", "2")
    await first.give(ClaimNode(), NOW)
    held = await second.give(ClaimNode(), NOW + 5_000)
    assert await second.give(ClaimNode(seen=held), NOW + 7_000) is None
    assert "a" in second.absent  # who was connected to the first is not connected to this one
    assert await first.give(RenewLease(), NOW + 8_000) is False
    assert await second.give(RenewLease(), NOW + 9_000) is True


@pytest.mark.parametrize(("late_ms", "is_gone"), [(0, False), (1, True)])
async def test_who_has_not_renewed_in_time_is_gone_once(database: Database, late_ms: int, is_gone: bool) -> None:
    first, second, third = (Node(database, name) for name in "abc")
    await second.give(ClaimNode(), NOW)
    await third.give(ClaimNode(), NOW)
    await first.give(ClaimNode(), NOW)
    if not database.is_shared:
        return  # each claim takes all others for dead
    now_ms = NOW + LEASE + late_ms
    second.absent.clear()
    await first.give(RenewLease(), NOW + LEASE)
    await second.give(RenewLease(), now_ms)
    await first.give(RenewLease(), now_ms)
    assert second.absent == (["c"] if is_gone else [])
    assert first.absent == ["a"]  # its own earlier life
    taken_up = [effect for effect in second.effects if isinstance(effect, JobDue)]
    assert taken_up == ([JobDue("judge", "7"), JobDue("judge", "8")] if is_gone else [])
    gone = [effect.fields["gone"] for effect in second.effects if isinstance(effect, LogEvent)]
    assert [name for name in gone if name == "c"] == (["c"] if is_gone else [])


async def test_who_was_taken_to_be_gone_comes_back(database: Database) -> None:
    first, second = Node(database, "a"), Node(database, "b")
    await first.give(ClaimNode(), NOW)
    await second.give(ClaimNode(), NOW)
    if not database.is_shared:
        return
    await second.give(RenewLease(), NOW + LEASE + 1)
    assert second.absent == ["b", "a"]
    assert await first.give(RenewLease(), NOW + LEASE + 2) is True
    assert first.returned == ["a"]
    assert await first.give(RenewLease(), NOW + LEASE + 3) is True
    assert first.returned == ["a"]


async def test_who_leaves_is_gone_at_once(database: Database) -> None:
    first = Node(database, "a")
    await first.give(ClaimNode(), NOW)
    first.absent.clear()
    await first.give(LeaveNode(), NOW + 1)
    assert first.absent == ["a"]
    await first.give(LeaveNode(), NOW + 2)
    assert first.absent == ["a"]


@pytest.mark.parametrize(
    ("there_ms", "renewed_ms", "excused"),
    [(presence.THERE_MS, 0, False), (presence.THERE_MS - 1, 0, True), (60_000, LEASE + 1, True)],
    ids=["was there", "came a moment too late", "has gone since"],
)
async def test_nobody_is_excused_when_another_node_was_there(
    database: Database, there_ms: int, renewed_ms: int, excused: bool
) -> None:
    other = Node(database, "b")
    began = NOW - there_ms
    await other.give(ClaimNode(), began)
    for passed in range(0, there_ms - renewed_ms, LEASE // 2):
        await other.give(RenewLease(), began + passed)
    work = lambda tx: presence.others_were_there(tx, "a", NOW)  # noqa: E731
    [outcome] = await database.transact([work])
    assert outcome.value is not excused
    work = lambda tx: presence.others_were_there(tx, "b", NOW)  # noqa: E731
    [outcome] = await database.transact([work])
    assert outcome.value is False  # oneself is no witness


async def test_a_master_key_is_not_rotated_under_several_nodes(database: Database) -> None:
    if not database.is_shared:
        return
    store = GivenKeys("1:" + "ab" * 32 + ",2:" + "cd" * 32)
    cipher = Cipher.of(store.read(), randomness)
    system = rekeying.system(cipher, store, [], randomness)
    [rotate] = [operation.handler for operation in system.operations if operation.order is RotateMasterKey]
    for name in "ab":
        await Node(database, name).give(ClaimNode(), NOW)
    [outcome] = await database.transact([lambda tx: rotate(tx, SERVER, RotateMasterKey(), NOW)])
    assert isinstance(outcome.error, Refusal)
    assert outcome.error.code is Code.UNAVAILABLE
    assert "but one" in outcome.error.suggestion
