"""Thousands of random orders beside a model: states, claims, work and every balance are what the model says.

On SQLite in memory, without an event loop: an operation is a plain function. On both databases through the contract.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import hive as wire
from protocol.errors import MessageError
from tests.vault_server.systems.hive.harness import PASSWORD_HASH, START_MS, Hive, agent, number_of, user, violations
from tests.vault_server.systems.hive.walk import HOUR_MS, HOUSE, Walk
from vault_server.core.operation import OPERATOR, SERVER, Caller, Query, Reader, Refusal
from vault_server.dispatch.router import Router
from vault_server.exchange.cipher import Cipher
from vault_server.settings import Settings
from vault_server.storage.schema import sqlite_script
from vault_server.storage.sqlite_work import SqliteTransaction
from vault_server.systems.hive.orders import AppointAdmin, RegisterUser, StartHive
from vault_server.systems.hive.records import Parts
from vault_server.systems.hive.system import hive as built

STEPS, EXAMPLES = 1200, 4
STEPS_BETWEEN_CHECKS = 200
STEPS_ON_A_DATABASE = 150
PEOPLE, AGENTS = 3, 5
WALKS = (0, 1, 5)
"""Seeds whose walks carry out every kind of order between them."""
KINDS = 17


def orders_before_the_walk() -> Iterator[tuple[Caller, Any]]:
    """Users 2 to 4 and an admin, 5; agents 1 to 5 by turns theirs."""
    yield SERVER, StartHive()
    for number in range(PEOPLE):
        yield SERVER, RegisterUser(f"person{number}@example.org", f"person {number}", "both", PASSWORD_HASH)
    yield SERVER, RegisterUser("admin@example.org", "admin", "both", PASSWORD_HASH)
    yield OPERATOR, AppointAdmin("admin@example.org")
    for number in range(AGENTS):
        order = wire.RegisterAgent(name=f"robot {number}", description="It does things.")
        yield user(2 + number % PEOPLE), order


def new_walk(seed: int) -> Walk:
    people = [user(2 + number) for number in range(PEOPLE)]
    walk = Walk(seed, people, [agent(1 + number) for number in range(AGENTS)], user(2 + PEOPLE))
    walk.now_ms = START_MS
    walk.balances = {HOUSE: 0, 2 + PEOPLE: 500, **{number_of(each): 500 for each in people}}
    for operator in walk.operator.values():
        walk.balances[operator] += 100
    return walk


def compare(reader: Reader, walk: Walk) -> None:
    """The rows are what the model says."""

    def read(columns: str, table: str) -> dict[int, Any]:
        rows = reader.all(Query("read", f"SELECT id, {columns} AS value FROM {table}"))
        return {row["id"]: row["value"] for row in rows}

    assert read("status", "hive_tasks") == {number: task.status for number, task in walk.tasks.items()}
    assert read("claimed_by_agent_id", "hive_tasks") == {number: task.agent for number, task in walk.tasks.items()}
    assert read("status", "task_claims") == {number: claim.status for number, claim in walk.claims.items()}
    assert read("status", "deliverables") == walk.works
    assert read("credit_balance", "users") == walk.balances
    assert violations(reader) == []


class InMemory:
    """Operations on SQLite in memory, one transaction each."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        raw.row_factory = sqlite3.Row
        raw.executescript(sqlite_script())
        raw.execute("PRAGMA foreign_keys = ON")
        self.raw = raw
        parts = Parts(Settings(hive_open_tasks_max=STEPS), Cipher(b"m" * 32, secrets.token_bytes), secrets.token_bytes)
        self.router = Router(built(parts).operations)

    def give(self, caller: Caller, order: Any, now_ms: int) -> Any:
        """The reply, or the refusal; what is refused leaves nothing."""
        operation = self.router.route(caller, order)
        changes = self.raw.total_changes
        self.raw.execute("BEGIN")
        try:
            reply = operation.handler(SqliteTransaction(self.raw), caller, order, now_ms)
        except Refusal as refusal:
            assert self.raw.total_changes == changes, "a refusal comes before anything is written"
            self.raw.execute("ROLLBACK")
            return refusal
        self.raw.execute("COMMIT")
        return reply


def judge(walk: Walk, caller: Caller, order: Any, outcome: Any) -> None:
    """Done where the model says so, refused where it does not; then time passes."""
    expected = walk.expect(caller, order)
    if isinstance(outcome, MessageError):
        assert expected is None, f"{order} by {caller.account} was refused: {outcome}"
    else:
        assert expected is not None, f"{order} by {caller.account} was done"
        walk.took(caller, order, outcome, expected)
    walk.now_ms += walk.random.randint(0, HOUR_MS)


def carried_out(seed: int) -> Walk:
    """A walk of STEPS orders on a database in memory, compared with its model on the way."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        hive, walk = InMemory(raw), new_walk(seed)
        for caller, order in orders_before_the_walk():
            hive.give(caller, order, START_MS)
        for number in range(1, STEPS + 1):
            caller, order = walk.next()
            judge(walk, caller, order, hive.give(caller, order, walk.now_ms))
            if number % STEPS_BETWEEN_CHECKS == 0:
                compare(SqliteTransaction(raw), walk)
    return walk


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32))
def test_thousands_of_orders_at_random(seed: int) -> None:
    assert sum(carried_out(seed).done.values()) > STEPS / 4


def test_walks_carry_out_every_kind_of_order() -> None:
    done = {kind for seed in WALKS for kind in carried_out(seed).done}
    assert len(done) == KINDS, sorted(done)


async def outcome_of(hive: Hive, caller: Caller, order: Any) -> Any:
    try:
        return await hive.give(caller, order)
    except MessageError as refusal:
        return refusal


@pytest.mark.parametrize("seed", [1, 2])
async def test_orders_at_random_on_a_database(hive: Hive, seed: int) -> None:
    walk = new_walk(seed)
    for caller, order in orders_before_the_walk():
        await hive.give(caller, order)
    for _ in range(STEPS_ON_A_DATABASE):
        caller, order = walk.next()
        hive.now_ms = walk.now_ms
        judge(walk, caller, order, await outcome_of(hive, caller, order))
    await hive.database.read(lambda reader: compare(reader, walk))
