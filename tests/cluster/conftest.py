"""A cluster for each test: a PostgreSQL of its own, nodes, a balancer, and solvers behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.cluster.balancer import balancer
from tests.cluster.nodes import Cluster, Node
from tests.cluster.peers import FleetSolver
from tests.cluster.postgres import Postgres, postgres_server
from tests.processes import LoggingProcess

EXPECTED = {"storage.failed", "presence.failed", "job.postponed"}
"""What a node may log as errors while its database is taken from it."""


class StartCluster(Protocol):
    """`await start_cluster(3)`: nodes that are ready, behind a balancer."""

    def __call__(self, count: int, **settings: object) -> Awaitable[Cluster]:
        """One for each test."""


@pytest.fixture(scope="session")
def postgres_to_be_mistreated() -> Iterator[Any]:
    """One for all these tests, which run one after the other."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_of_its_own(postgres_to_be_mistreated: Any) -> Postgres:
    """An empty database in it."""
    return Postgres(postgres_to_be_mistreated)


@pytest.fixture
async def balancers() -> AsyncIterator[AsyncExitStack]:
    """Closed after the processes have ended: a solver that stops hands in what it has, through its balancer."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def start_cluster(
    balancers: AsyncExitStack, processes: list[LoggingProcess], postgres_of_its_own: Postgres, tmp_path: Path
) -> StartCluster:
    """A factory of one cluster."""

    async def start(count: int, **settings: object) -> Cluster:
        nodes: list[Node] = []
        front = await balancers.enter_async_context(balancer(lambda: [node.port for node in nodes if node.port]))
        public = {"public_names": f"127.0.0.1:{front.port}"}
        made = [Node(tmp_path, postgres_of_its_own, f"node-{number + 1}", public | settings) for number in range(count)]
        for node in made:
            node.errors_expected |= EXPECTED
        processes.extend(made)
        await made[0].start()
        for node in made[1:]:
            node.have_keys_of(made[0])
        await asyncio.gather(*(node.start() for node in made[1:]))
        nodes.extend(made)
        return Cluster(postgres_of_its_own, front, nodes)

    return start


class StartSolvers(Protocol):
    """`await start_solvers(cluster, 3)`: solvers that are online somewhere."""

    def __call__(self, cluster: Cluster, count: int, *, capacity: int = 3) -> Awaitable[list[FleetSolver]]:
        """So many more."""


@pytest.fixture
def start_solvers(processes: list[LoggingProcess], tmp_path: Path) -> StartSolvers:
    """A factory of solver processes."""

    async def start(cluster: Cluster, count: int, *, capacity: int = 3) -> list[FleetSolver]:
        made = []
        for _ in range(count):
            number = sum(isinstance(process, FleetSolver) for process in processes) + 1
            made.append(FleetSolver(cluster, tmp_path, f"solver-{number}", capacity))
            processes.append(made[-1])
        await asyncio.gather(*(solver.start() for solver in made))
        return made

    return start
