"""Scores as all systems move them: within 0 and 100, to six decimals, each change a row."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vault_server.conftest import NewDatabase
from tests.vault_server.people import solver
from tests.vault_server.storage.rows import committed, sql
from vault_server.core.operation import Transaction
from vault_server.exchange import participants, standing
from vault_server.exchange.standing import Standing
from vault_server.storage.database import Database

ANN = solver("ann")


async def join(database: Database) -> None:
    """Ann is a solver and a client."""

    def work(tx: Transaction) -> None:
        participants.register(tx, ANN, 1)
        tx.run(sql(f"INSERT INTO solvers (solver_id) VALUES ('{ANN.fingerprint}')"))
        tx.run(sql(f"INSERT INTO clients (client_id) VALUES ('{ANN.fingerprint}')"))

    await committed(database, work)


async def score(database: Database, table: str = "solvers") -> float:
    [row] = await database.read(lambda reader: reader.all(sql(f"SELECT reputation_score FROM {table}")))
    return float(row["reputation_score"])


async def history(database: Database) -> list[dict[str, Any]]:
    rows = await database.read(lambda reader: reader.all(sql("SELECT * FROM score_history ORDER BY id")))
    return [dict(row) for row in rows]


async def move(database: Database, new: float, *, old: float | None = None, which: Standing = Standing.SOLVER) -> float:
    """Move Ann's score, as a system would: the change applied."""
    found = await score(database, f"{which.value}s") if old is None else old

    def work(tx: Transaction) -> float:
        return standing.move(tx, which, ANN.fingerprint, old=found, new=new, reason="because", task=None, now_ms=7)

    return float(await committed(database, work))


async def test_a_change_is_a_row_and_moves_one_score(database: Database) -> None:
    await join(database)
    assert await move(database, 62.5) == 12.5
    [row] = await history(database)
    assert row == {
        "id": row["id"],
        "standing": "solver",
        "hotkey": ANN.hotkey,
        "agent_id": None,
        "score_change": 12.5,
        "score_after": 62.5,
        "reason": "because",
        "task_id": None,
        "created_at": 7,
    }
    assert (await score(database), await score(database, "clients")) == (62.5, 50)
    assert await move(database, 40, which=Standing.CLIENT) == -10
    assert (await score(database), await score(database, "clients")) == (62.5, 40)


@pytest.mark.parametrize(
    ("new", "after", "change"),
    [(100, 100, 50), (100.000001, 100, 50), (1e9, 100, 50), (0, 0, -50), (-0.000001, 0, -50), (-1e9, 0, -50)],
)
async def test_a_score_stays_within_0_and_100(database: Database, new: float, after: float, change: float) -> None:
    await join(database)
    assert await move(database, new) == change  # what was applied, not what was asked for
    assert await score(database) == after
    assert await move(database, new) == 0
    assert len(await history(database)) == 1


@pytest.mark.parametrize(
    ("new", "change"), [(50.0000004, 0), (50.0000006, 0.000001), (49.9999996, 0), (49.9999994, -0.000001)]
)
async def test_six_decimals_count(database: Database, new: float, change: float) -> None:
    await join(database)
    assert await move(database, new) == change
    assert [row["score_change"] for row in await history(database)] == ([change] if change else [])


async def test_an_old_score_that_is_not_the_score_is_a_defect(database: Database) -> None:
    await join(database)
    with pytest.raises(Exception, match="the change does not fit the score"):
        await move(database, 70, old=60)
    assert (await score(database), await history(database)) == (50, [])


async def test_nobody_who_does_not_take_part_has_a_score(database: Database) -> None:
    with pytest.raises(AssertionError, match="takes part"):
        await move(database, 70, old=50)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scores=st.lists(st.floats(-20, 120), max_size=12))
def test_50_and_the_history_are_the_score(empty_database: NewDatabase, scores: list[float]) -> None:
    async def story() -> None:
        database = empty_database()
        await database.start()
        try:
            await join(database)
            applied = [await move(database, new) for new in scores]
            rows = await history(database)
            assert [row["score_change"] for row in rows] == [change for change in applied if change]
            assert await score(database) == pytest.approx(50 + sum(applied), abs=5e-7)
            assert all(row["score_change"] == round(row["score_change"], 6) for row in rows)
        finally:
            await database.stop()

    asyncio.run(story())
