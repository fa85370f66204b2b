"""What the vault shows of its rows: every state is there, and counting reads an index, not the puzzles."""

from __future__ import annotations

import pytest

from tests.vault_server.people import client, solver
from tests.vault_server.systems.vault.harness import Vault
from vault_server.systems.vault import gauges
from vault_server.systems.vault.states import TASK


async def test_tasks_are_counted_by_status_and_absent_ones_are_zero(vault: Vault) -> None:
    async def seen() -> dict[str, float]:
        counted = await vault.database.read(lambda reader: gauges.tasks_by_status(reader, 0))
        assert set(counted) == TASK.states
        return {status: number for status, number in counted.items() if number}

    assert await seen() == {}
    for _ in range(2):
        await vault.submit(client("ann"))
    assert await seen() == {"waiting": 2}
    await vault.join(solver("bob"))
    assert sum((await seen()).values()) == 2
    assert (await seen())["assigned"] >= 1


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)  # PostgreSQL plans by how many rows there are
async def test_counting_tasks_reads_the_index_alone(vault: Vault) -> None:
    plan = [row["detail"] for row in await vault.rows(f"EXPLAIN QUERY PLAN {gauges.q.count_tasks}")]
    assert plan == ["SCAN tasks USING COVERING INDEX tasks_by_status"]


async def test_solvers_online_come_and_go(vault: Vault) -> None:
    async def seen() -> float:
        return (await vault.database.read(lambda reader: gauges.solvers_online(reader, 0)))[""]

    before = await seen()
    await vault.join(solver("bob"))
    during = await seen()
    await vault.leave(solver("bob"))
    assert (before, during, await seen()) == (0, 1, 0)
