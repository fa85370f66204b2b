"""Who is where: solvers and clients on different nodes, nodes that die, names, identities, bans and deadlines."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.errors import Close
from protocol.identity import Identity
from protocol.peer import HandshakeRefused
from protocol.vault import (
    SOLVER_PATH,
    AcceptAssignment,
    AssignmentAccepted,
    PuzzleAccepted,
    PuzzleOffered,
    ReportProgress,
    StatusUpdated,
    TaskProgress,
    UpdateStatus,
)
from tests.acceptance.puzzles import Maker
from tests.cluster.conftest import StartCluster, StartSolvers
from tests.cluster.nodes import LEASE_MS, Cluster, Node
from tests.cluster.peers import Customer
from tests.conftest import StartSolver
from tests.dialling import dial
from tests.processes import LoggingProcess, ProcessFailed, environment
from tests.vault_server.dispatch.conftest import eventually


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


class At(Cluster):
    """One node of a cluster, dialled past the balancer."""

    def __init__(self, cluster: Cluster, node: Node) -> None:
        super().__init__(cluster.postgres, cluster.front, [node])

    @property
    def url(self) -> str:
        return self.nodes[0].url


async def test_a_client_on_one_node_is_answered_by_solvers_on_others(
    start_cluster: StartCluster, start_solver: StartSolver, maker: Maker
) -> None:
    cluster = await start_cluster(3)
    await asyncio.gather(*(start_solver(node, arguments=["--calibration", "0.02"]) for node in cluster.nodes[1:]))
    orders = {f"order {number}": maker.order(20_000 + number, key=f"order {number}") for number in range(4)}
    customer = Customer(At(cluster, cluster.nodes[0]), orders)
    async with asyncio.timeout(30):
        await customer.run()
    customer.check()
    assert cluster.postgres.rows("SELECT node FROM nodes ORDER BY node") == [("node-1",), ("node-2",), ("node-3",)]


async def test_progress_reaches_a_client_on_another_node(start_cluster: StartCluster, maker: Maker) -> None:
    first, second = (await start_cluster(2)).nodes
    async with await dial(first.url) as client, await dial(second.url, SOLVER_PATH) as solver:
        await solver.ask(UpdateStatus(state="ready", capacity=1, speeds={"512": 1000}), StatusUpdated)
        order, _ = maker.order(10_000_000)
        accepted = await client.ask(order, PuzzleAccepted)
        offered = await solver.take(PuzzleOffered)
        await solver.ask(AcceptAssignment(assignment=offered.assignment), AssignmentAccepted)
        await solver.signal(ReportProgress(assignment=offered.assignment, done=4_000_000))
        told, _ = await client.receive(TaskProgress)
        assert told == TaskProgress(task=accepted.task, done=4_000_000, total=10_000_000)


async def test_the_solvers_of_a_killed_node_go_elsewhere_with_what_they_have(
    start_cluster: StartCluster, start_solvers: StartSolvers, maker: Maker
) -> None:
    cluster = await start_cluster(2)
    solvers = await start_solvers(cluster, 2, capacity=1)
    order, right = maker.order(3_000_000, key="long")  # some seconds of work, so that it is in hand at the kill
    customer = Customer(cluster, {"long": (order, right)})
    async with asyncio.timeout(60), asyncio.TaskGroup() as running:
        running.create_task(customer.run())
        await eventually(lambda: cluster.postgres.rows("SELECT 1 FROM task_assignments WHERE status = 'accepted'"))
        held = cluster.postgres.rows("SELECT db_key, solver_id FROM task_assignments ORDER BY db_key")
        [doomed] = [node for node in cluster.nodes if node.name == solvers[0].node()]
        [other] = [node for node in cluster.nodes if node is not doomed]
        await doomed.kill()
        await eventually(lambda: solvers[0].is_online() and solvers[0].node() == other.name, seconds=20)
        await other.event("node.gone", gone=doomed.name)
    customer.check()
    assert cluster.postgres.rows("SELECT db_key, solver_id FROM task_assignments ORDER BY db_key")[: len(held)] == held


async def test_solvers_of_a_node_that_is_gone_are_offline_after_its_lease(
    start_cluster: StartCluster, start_solver: StartSolver
) -> None:
    cluster = await start_cluster(2)
    solver = await start_solver(cluster.nodes[1])
    await cluster.nodes[1].kill()
    await solver.kill()
    online = f"SELECT is_online FROM solvers WHERE solver_id = '{solver.fingerprint}'"
    assert cluster.postgres.one(online) == 1  # nobody can know yet
    await eventually(lambda: cluster.postgres.one(online) == 0, seconds=LEASE_MS / 1000 + 10)


async def test_a_name_and_an_identity_are_one_nodes_and_all_nodes(
    start_cluster: StartCluster, processes: list[LoggingProcess], tmp_path: Path
) -> None:
    cluster = await start_cluster(1)
    namesake = Node(tmp_path, cluster.postgres, "namesake", {"node": "node-1"})
    namesake.have_keys_of(cluster.nodes[0])
    stranger = Node(tmp_path, cluster.postgres, "stranger", {})
    forger = Node(tmp_path, cluster.postgres, "forger", {})
    forger.have_keys_of(cluster.nodes[0])
    forger.have_another_identity()
    for node, said in (
        (namesake, "another server on this database is called 'node-1'"),
        (stranger, "copy the file from the machine that did"),
        (forger, "copy the identity file of another node"),
    ):
        processes.append(node)
        with pytest.raises(ProcessFailed):
            await node.start()
        assert said in node.stderr_path.read_text()
    assert "VAULT_NODE" in namesake.find("node.waiting")[0]["reason"]
    assert cluster.nodes[0].running
    assert not cluster.nodes[0].find("node.replaced")


async def order(node: Node, *words: str) -> None:
    """An operator's command at one node."""
    command = [sys.executable, "-m", "vault_server", *words]
    await asyncio.to_thread(subprocess.run, command, env=environment(node.settings), check=True, timeout=60)


async def test_a_ban_holds_on_every_node(start_cluster: StartCluster) -> None:
    cluster = await start_cluster(2)
    first, second = cluster.nodes
    banned = Identity.generate()
    async with await dial(second.url, identity=banned) as dialled:
        await order(first, "ban", banned.fingerprint, "--for", "1h")
        assert await dialled.closed() == Close.BANNED
    with pytest.raises(HandshakeRefused, match="BANNED"):
        await dial(second.url, identity=banned)
    await order(first, "unban", banned.fingerprint)

    async def is_let_in() -> bool:
        try:
            async with await dial(second.url, identity=banned):
                return True
        except HandshakeRefused:
            return False

    await eventually(is_let_in)


async def test_what_falls_due_happens_once_in_the_cluster(
    start_cluster: StartCluster, start_solver: StartSolver, maker: Maker
) -> None:
    cluster = await start_cluster(3, deadline_ms_min=1500, deadline_ms_unknown=1500, deadline_ms_max=1500)
    solvers = [await start_solver(node, arguments=["--calibration", "0.02"]) for node in cluster.nodes]
    async with await dial(cluster.nodes[0].url) as client:
        for number in range(3):
            order, _ = maker.order(10**9, key=f"order {number}")
            await client.send(order)
        await eventually(lambda: cluster.postgres.one("SELECT count(*) FROM task_assignments") >= 3)
        for solver in solvers:
            await solver.kill()
        live = "SELECT db_key FROM task_assignments WHERE ended_at IS NULL"
        await eventually(lambda: not cluster.postgres.rows(live), seconds=30)
    expired = [event["assignment"] for node in cluster.nodes for event in node.find("assignment.expired")]
    rows = cluster.postgres.rows("SELECT db_key FROM task_assignments WHERE status = 'expired' ORDER BY db_key")
    assert sorted(expired) == [key for (key,) in rows] != []
    assert not cluster.postgres.rows("SELECT 1 FROM solvers WHERE in_hand <> 0")
    assert not cluster.postgres.rows("SELECT 1 FROM deadlines WHERE name = 'expire_assignment'")
