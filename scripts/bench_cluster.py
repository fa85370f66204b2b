"""Tasks a second on one, two and three nodes of one PostgreSQL, and how long a push takes to another node.

Clients and instant solvers are spread over the nodes. Turns of all sizes follow each other, medians are ratios to one
node in the same run. Round trips are counted on the wire to the database, which is then also made as slow as a network.
PostgreSQL comes from a wheel; its disk is waited for (fsync).
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from protocol import vault as messages
from scripts.cluster_figures import Run, nodes_in_words, print_latencies, print_sizes
from scripts.counted_wire import Wire, wire
from scripts.load import InstantSolver, LoadClient, Tally, dial
from scripts.push_latency import push_latencies
from tests.cluster.nodes import Node
from tests.cluster.postgres import Postgres, postgres_server
from vault_server.core.location import PostgresUrl

SIZES = (1, 2, 3)
CONNECTIONS = 6
"""Clients, and solvers: as many on each node, whatever of SIZES the cluster has."""
NETWORK_SECONDS = 0.0005
STOP_LOOKS_MAX, LOOK_SECONDS = 250, 0.02
IDLE_SECONDS = 1.5
"""Of looks and leases, whose round trips are no task's."""
SETTINGS: dict[str, object] = {
    "open_tasks_max": 100_000,
    "capacity_max": 1024,
    "queue_messages_max": 100_000,
    "max_requests_per_window": 1_000_000,
    "max_requests_per_window_client": 1_000_000,
    "node_lease_ms": 10_000,
}


@dataclass(slots=True)
class Rates:
    """What happened in each second of some time."""

    tasks: float
    round_trips: float
    cpu: dict[str, float]


def report(seconds: float, turns: int, under_way: int, pushes: int, moduli: list[int]) -> None:
    """Run everything, one after the other, and print it. SIGTERM ends it in order, as ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with postgres_server() as server, tempfile.TemporaryDirectory(prefix="vault-bench-") as folder:
        new = Bench(server, Path(folder), seconds, under_way, moduli)
        runs: dict[int, list[Run]] = {size: [] for size in SIZES}
        for turn in range(turns):
            for size in SIZES:
                runs[size].append(new.run(size))
                print(
                    f"turn {turn + 1}: {nodes_in_words(size)} {runs[size][-1].tasks_per_second:7.1f} tasks/s",
                    flush=True,
                )
        print_sizes("no network between nodes and database (a Unix socket)", runs)
        [near] = new.through_a_wire((1,), 0.0).values()
        print(f"round trips a task: {near[0].round_trips:.1f} (what passes without a load is taken off)", flush=True)
        network = new.through_a_wire(SIZES, NETWORK_SECONDS / 2)
        print_sizes(
            f"{NETWORK_SECONDS * 1000} ms added to each round trip, one turn; the load includes the wire", network
        )
        for name, has_notify in (("with NOTIFY", True), ("by polling alone", False)):
            print_latencies(name, new.latencies(has_notify, pushes))


class Bench:
    """Fresh clusters, each on a fresh database of the one PostgreSQL."""

    def __init__(self, server: Any, folder: Path, seconds: float, under_way: int, moduli: list[int]) -> None:
        self._server = server
        self._folder = folder
        self._seconds = seconds
        self._under_way = under_way
        self._moduli = moduli
        self._number = 0
        with Postgres(server).connect() as connection:
            connection.execute("ALTER SYSTEM SET fsync = on")
            connection.execute("SELECT pg_reload_conf()")
            self._socket = f"{connection.info.host}/.s.PGSQL.{connection.info.port}"

    def run(self, size: int, via: Wire | None = None) -> Run:
        """One load of a cluster of `size`."""
        return asyncio.run(self._run(size, via))

    def through_a_wire(self, sizes: Sequence[int], one_way_seconds: float) -> dict[int, list[Run]]:
        """One load of each size; the nodes reach their database by TCP, so slowly."""
        with wire(self._socket, one_way_seconds) as via:
            return {size: [self.run(size, via)] for size in sizes}

    def latencies(self, has_notify: bool, pushes: int) -> list[float]:
        """Seconds from the reply on one node to the push it caused on the other."""

        async def measure() -> list[float]:
            postgres = Postgres(self._server)
            if not has_notify:
                silence(postgres)
            async with self._nodes(2, postgres) as nodes:
                return await push_latencies(nodes[0].port, nodes[1].port, self._moduli[0], pushes)

        return asyncio.run(measure())

    async def _run(self, size: int, via: Wire | None) -> Run:
        postgres = Postgres(self._server)
        if via is not None:
            postgres.url = by_tcp(postgres, via)
        async with self._nodes(size, postgres) as nodes:
            return await self._load(nodes, via)

    @asynccontextmanager
    async def _nodes(self, size: int, postgres: Postgres) -> AsyncIterator[list[Node]]:
        self._number += 1
        names = [f"run-{self._number}-node-{number + 1}" for number in range(size)]
        nodes = [Node(self._folder, postgres, name, SETTINGS) for name in names]
        try:
            await nodes[0].start()
            for node in nodes[1:]:
                node.have_keys_of(nodes[0])
            await asyncio.gather(*(node.start() for node in nodes[1:]))
            yield nodes
        finally:
            for node in nodes:
                node.end_group()

    async def _load(self, nodes: Sequence[Node], via: Wire | None) -> Run:
        tally, ports = Tally(), [node.port for node in nodes]
        solvers = [await dial(port, partial(InstantSolver, port)) for port in spread(ports)]
        for solver in solvers:
            solver.request(messages.UpdateStatus(state="ready", capacity=1024, speeds={"4096": 1_000_000}))
        each = max(1, self._under_way // CONNECTIONS)
        clients = [await dial(port, partial(LoadClient, port, self._moduli, each, tally)) for port in spread(ports)]
        await asyncio.sleep(1.0)  # solvers are known everywhere
        idle = await self._during(IDLE_SECONDS, nodes, tally, via)
        for client in clients:
            client.begin()
        await asyncio.sleep(min(2.0, self._seconds / 2))
        loaded = await self._during(self._seconds, nodes, tally, via)
        for client in clients:
            client.is_stopping = True
        for _ in range(STOP_LOOKS_MAX):
            if all(client.is_done for client in clients):
                break
            await asyncio.sleep(LOOK_SECONDS)
        unanswered = sum(not client.is_done for client in clients)
        for end in (*solvers, *clients):
            end.close()
        trips = (loaded.round_trips - idle.round_trips) / max(1.0, loaded.tasks)
        return Run(loaded.tasks, trips, loaded.cpu, tally.wrong, tally.errors, unanswered)

    async def _during(self, seconds: float, nodes: Sequence[Node], tally: Tally, via: Wire | None) -> Rates:
        def counts() -> tuple[float, int, int, dict[str, float]]:
            return time.perf_counter(), tally.answered, via.round_trips if via else 0, self._cpu_seconds(nodes)

        before = counts()
        await asyncio.sleep(seconds)
        after = counts()
        passed = after[0] - before[0]
        cpu = {name: (after[3][name] - before[3][name]) / passed for name in after[3]}
        cpu["other programs"] = max(0.0, cpu.pop("all") - sum(cpu.values()))
        return Rates((after[1] - before[1]) / passed, (after[2] - before[2]) / passed, cpu)

    def _cpu_seconds(self, nodes: Sequence[Node]) -> dict[str, float]:
        postmaster = psutil.Process(int((Path(self._server.pgdata) / "postmaster.pid").read_text().split()[0]))
        parts = {
            "nodes": [psutil.Process(node.pid) for node in nodes],
            "PostgreSQL": [postmaster, *postmaster.children()],
            "the load": [psutil.Process(os.getpid())],
        }
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
        return {name: sum(map(used, processes)) for name, processes in parts.items()} | {"all": busy}


def used(process: psutil.Process) -> float:
    """Its processor seconds so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def spread(ports: Sequence[int]) -> list[int]:
    """The node of each connection."""
    return [ports[number % len(ports)] for number in range(CONNECTIONS)]


def by_tcp(postgres: Postgres, via: Wire) -> PostgresUrl:
    """The same database by way of the wire."""
    with postgres.connect() as connection:
        user, name = connection.info.user, connection.info.dbname
    return PostgresUrl(f"postgresql://{quote(user)}@127.0.0.1:{via.port}/{name}?sslmode=disable&gssencmode=disable")


def silence(postgres: Postgres) -> None:
    """Have what the nodes call pg_notify say nothing, in this database: they are left to polling."""
    with postgres.connect() as connection:
        connection.execute("CREATE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE sql AS ''")
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET search_path = public, pg_catalog")
