"""All connections to the database wait for a stranger's lock: requests are refused meanwhile, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from protocol.errors import Code, MessageError
from protocol.vault import PuzzleAccepted
from tests.acceptance.puzzles import Maker
from tests.cluster.conftest import StartCluster, StartSolvers
from tests.cluster.nodes import Cluster
from tests.cluster.peers import Customer
from tests.cluster.test_failures import check, orders, until_none
from tests.dialling import dial
from vault_server.storage.postgres import CONNECTIONS_MIN

REFUSED_SECONDS_MAX = 40.0
SECONDS_MAX = 90.0
BEFORE = 4
"""Answers, when the lock is taken."""
BUSY = "all connections to the database were busy"


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


@contextmanager
def nobody_writes_tasks(cluster: Cluster) -> Iterator[None]:
    """An outside transaction that nobody ends, as a forgotten session of an administrator holds it."""
    with cluster.postgres.connect() as stranger:
        stranger.execute("BEGIN; LOCK TABLE tasks IN EXCLUSIVE MODE")
        yield
        stranger.execute("ROLLBACK")


async def test_nothing_acknowledged_is_lost_while_every_connection_waits_for_a_lock(
    start_cluster: StartCluster, start_solvers: StartSolvers, maker: Maker
) -> None:
    cluster = await start_cluster(2, database_connections_max=CONNECTIONS_MIN)
    await start_solvers(cluster, 2, capacity=2)
    answers, enough = 0, asyncio.Event()

    def answered() -> None:
        nonlocal answers
        answers += 1
        if answers == BEFORE:
            enough.set()

    customer = Customer(cluster, orders(maker), answered)
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as running:
        running.create_task(customer.run())
        await enough.wait()
        with nobody_writes_tasks(cluster):
            async with asyncio.TaskGroup() as asking:
                for node in cluster.nodes:
                    asking.create_task(refused(node.url, maker))
    assert any(BUSY in failed["reason"] for node in cluster.nodes for failed in node.find("storage.failed"))
    customer.check()
    await until_none(cluster, "SELECT solver_id FROM solvers WHERE in_hand > 0")
    check(cluster)


async def refused(url: str, maker: Maker) -> None:
    """A newcomer is told when to come again."""
    async with await dial(url) as newcomer:
        order, _ = maker.order(key="newcomer")
        with pytest.raises(MessageError) as refusal:
            await newcomer.ask(order, PuzzleAccepted, seconds=REFUSED_SECONDS_MAX)
    assert refusal.value.code is Code.UNAVAILABLE
    assert refusal.value.retry_after_ms
