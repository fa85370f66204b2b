"""What is acknowledged is neither lost nor done twice, whatever is taken from the cluster meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from protocol.vault import SubmitPuzzle
from tests.acceptance.puzzles import Maker
from tests.cluster.conftest import StartCluster, StartSolvers
from tests.cluster.nodes import Cluster, Node
from tests.cluster.peers import Customer
from tests.vault_server.dispatch.conftest import eventually
from vault_server.exchange.invariants import INVARIANTS as OF_THE_EXCHANGE
from vault_server.storage.postgres_snapshot import postgres_snapshot
from vault_server.systems.vault.invariants import INVARIANTS as OF_THE_VAULT

TASKS, CLIENTS, SOLVERS = 24, 2, 5
SECONDS_MAX = 90.0


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


def orders(maker: Maker) -> dict[str, tuple[SubmitPuzzle, int]]:
    """Puzzles that the server computes inline, in a thread, by commitment, or has agreed on."""
    made = {}
    for number in range(TASKS):
        squarings = (5_000 + 1_117 * number, 60_000 - 1_009 * number, 50 + 80 * number)[number % 3]
        made[f"order {number}"] = maker.order(squarings, committed=number % 2 == 0, key=f"order {number}")
    return made


async def kill_a_node(cluster: Cluster) -> None:
    """SIGKILL; it is not started again: the others carry on."""
    await _a_node(cluster).kill()


async def kill_and_restart_a_node(cluster: Cluster) -> None:
    """SIGKILL, and the same node again."""
    node = _a_node(cluster)
    await node.kill()
    await node.restart()


async def restart_postgres(cluster: Cluster) -> None:
    """As after a crash."""
    await cluster.postgres.restart()


async def end_all_connections(cluster: Cluster) -> None:
    """All at once, three times."""
    for _ in range(3):
        await cluster.postgres.throw_out_everybody()
        await asyncio.sleep(0.1)


async def refuse_writes_for_a_while(cluster: Cluster) -> None:
    """A failover to a server that cannot write, and back."""
    await cluster.postgres.refuse_writes(True)
    await asyncio.sleep(1.5)
    await cluster.postgres.refuse_writes(False)


def _a_node(cluster: Cluster) -> Node:
    return next(node for node in cluster.nodes if node.running)


Blow = Callable[[Cluster], Awaitable[None]]

BLOWS: dict[str, list[tuple[int, Blow]]] = {
    "a node is killed": [(8, kill_a_node)],
    "nodes are killed again and again": [(4, kill_and_restart_a_node), (13, kill_and_restart_a_node)],
    "the database restarts": [(5, restart_postgres), (15, restart_postgres)],
    "connections are ended": [(5, end_all_connections), (15, end_all_connections)],
    "the database refuses writes": [(8, refuse_writes_for_a_while)],
}
"""After how many answers, in all, what happens."""


@pytest.mark.parametrize("blows", BLOWS.values(), ids=BLOWS)
async def test_all_that_was_acknowledged_is_answered_once(
    start_cluster: StartCluster, start_solvers: StartSolvers, maker: Maker, blows: list[tuple[int, Blow]]
) -> None:
    cluster = await start_cluster(3, trap_share=0.01)
    await start_solvers(cluster, SOLVERS)
    answers = 0
    reached = {count: asyncio.Event() for count, _ in blows}

    def answered() -> None:
        nonlocal answers
        answers += 1
        if answers in reached:
            reached[answers].set()

    asked = list(orders(maker).items())
    customers = [Customer(cluster, dict(asked[number::CLIENTS]), answered) for number in range(CLIENTS)]
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as running:
        for customer in customers:
            running.create_task(customer.run())
        for count, blow in blows:
            await reached[count].wait()
            await blow(cluster)
    for customer in customers:
        customer.check()
    await until_none(cluster, "SELECT solver_id FROM solvers WHERE in_hand > 0")
    asked_for = "SELECT count(*) FROM tasks WHERE is_trap = 0"  # the server makes some of its own
    assert cluster.postgres.one(asked_for) == cluster.postgres.one(f"{asked_for} AND status = 'answered'") == TASKS
    check(cluster)


async def until_none(cluster: Cluster, sql: str) -> None:
    """Wait until a SELECT has no rows."""
    await eventually(lambda: not cluster.postgres.rows(sql), seconds=20)


def check(cluster: Cluster) -> None:
    """What `vault-server check` would say."""
    with postgres_snapshot(cluster.postgres.url) as reader:
        for invariant in [*OF_THE_EXCHANGE, *OF_THE_VAULT]:
            assert list(invariant.violations(reader)) == [], invariant.name
