"""Tasks per second, end to end through real sockets, beside a bare echo of messages of the same sizes.

A task's messages are counted as they pass; one echo is worth two of them. Floor and server take short turns, each ratio
is that of two neighbours, and their median is reported, with the server's CPU time split by its parts. Loads go to
127.0.0.1, bounded in time. With --proofs: what proofs of repeated squaring cost, instead.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import uvloop

from protocol import vault as wire
from scripts import bench_cluster, bench_hive, proving
from scripts.load import EchoClient, InstantSolver, LoadClient, Tally, a_few_moduli, dial

HOST = "127.0.0.1"
MODULI = 8
TURN_SECONDS = 1.0
CLUSTER_SECONDS = 5.0
WARM_UP_SECONDS = 1.5
RAMP_SECONDS = 0.2
"""Until a load is up to speed, and until nothing of it is under way."""
SETTINGS = {
    "VAULT_HTTP_PORT": "0",
    "VAULT_OPEN_TASKS_MAX": "100000",
    "VAULT_CAPACITY_MAX": "1024",
    "VAULT_QUEUE_MESSAGES_MAX": "100000",
    "VAULT_MAX_REQUESTS_PER_WINDOW": "1000000",
    "VAULT_MAX_REQUESTS_PER_WINDOW_CLIENT": "1000000",
}
ECHO = """
import asyncio, sys, uvloop
from websockets.asyncio.server import serve
async def echo(socket):
    async for message in socket:
        await socket.send(message)
async def main():
    async with serve(echo, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()
uvloop.run(main())
"""


@dataclass(slots=True)
class Shape:
    """How large the load is, and how long one turn of it is measured."""

    seconds: float
    clients: int
    solvers: int
    under_way: int
    bits: int


@dataclass(slots=True)
class Turn:
    """What one turn gave: of the server, and right behind it of the echo."""

    tasks: int
    tasks_per_second: float
    messages_in: float
    messages_out: float
    bytes_per_message: float
    cpu_seconds: dict[str, float]
    load_seconds: float
    echoes_per_second: float = 0.0

    @property
    def echoes_per_task(self) -> float:
        """One echo is two messages."""
        return (self.messages_in + self.messages_out) / 2

    @property
    def ratio(self) -> float:
        """To the floor, which the same seconds of the same machine gave."""
        return self.tasks_per_second * self.echoes_per_task / self.echoes_per_second


@dataclass(slots=True)
class Run:
    """What one fresh server gave in all its turns."""

    turns: list[Turn]
    wrong: int
    errors: dict[str, int]


@contextmanager
def process(
    arguments: list[str], folder: Path, settings: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A server process; its first line of output is read by the caller, and it is gone afterwards."""
    with (folder / "stderr").open("w") as errors:
        running = subprocess.Popen(
            arguments, cwd=folder, env=os.environ | (settings or {}), stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        yield running
    finally:
        running.terminate()
        running.communicate(timeout=20)


def first_port(running: subprocess.Popen[str]) -> int:
    """The port that the process says it listens on."""
    assert running.stdout is not None, "standard output is a pipe"
    line = running.stdout.readline()
    return int(line) if line.strip().isdigit() else int(line.split('"port":')[1].split(",")[0])


class ServerLoad:
    """Connections to a running server, which are loaded turn by turn."""

    def __init__(self, pid: int, shape: Shape) -> None:
        self._pid = pid
        self._shape = shape
        self._clients: list[LoadClient] = []
        self._solvers: list[InstantSolver] = []
        self.tally = Tally()

    async def connect(self, port: int, moduli: list[int]) -> None:
        """Solvers first."""
        shape = self._shape
        self._solvers = [await dial(port, lambda: InstantSolver(port)) for _ in range(shape.solvers)]
        for solver in self._solvers:
            solver.request(wire.UpdateStatus(state="ready", capacity=1024, speeds={"4096": 1_000_000}))
        self._clients = [
            await dial(port, lambda: LoadClient(port, moduli, shape.under_way, self.tally))
            for _ in range(shape.clients)
        ]
        await asyncio.sleep(0.3)

    async def turn(self) -> Turn:
        """Load it, measure when it is up to speed, and wait until all is answered."""
        await self._begin(RAMP_SECONDS)
        counts, cpu, answered, started = (
            self._counts(),
            cpu_seconds(self._pid),
            self.tally.answered,
            time.perf_counter(),
        )
        load = time.process_time()
        await asyncio.sleep(self._shape.seconds)
        seconds, load = time.perf_counter() - started, time.process_time() - load
        tasks = self.tally.answered - answered
        cpu = {name: used - cpu.get(name, 0.0) for name, used in cpu_seconds(self._pid).items()}
        received, sent, size = (after - before for before, after in zip(counts, self._counts(), strict=True))
        await self.drain()
        return Turn(tasks, tasks / seconds, sent / tasks, received / tasks, size / (received + sent), cpu, load)

    async def warm_up(self) -> None:
        """The server looks at each modulus once, for some milliseconds, and starts its worker processes."""
        await self._begin(WARM_UP_SECONDS)
        await self.drain()

    async def drain(self) -> None:
        """Submit nothing new, and wait for the answers."""
        for client in self._clients:
            client.is_stopping = True
        for _ in range(500):
            if all(client.is_done for client in self._clients):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"tasks were left without an answer: {self.tally}")

    def close(self) -> None:
        """All connections."""
        for socket in [*self._clients, *self._solvers]:
            socket.close()

    async def _begin(self, seconds: float) -> None:
        for client in self._clients:
            client.is_stopping = False
            client.begin()
        await asyncio.sleep(seconds)

    def _counts(self) -> tuple[int, int, int]:
        everyone = [*self._clients, *self._solvers]
        received, sent = sum(s.frames_in for s in everyone), sum(s.frames_out for s in everyone)
        return received, sent, sum(s.bytes_in + s.bytes_out for s in everyone)


def cpu_seconds(pid: int) -> dict[str, float]:
    """CPU seconds of a server by part. The event loop's thread is the one with the process's own number, the process
    that writes the first that it has started.
    """
    server = psutil.Process(pid)
    seconds = dict.fromkeys(("event loop", "process that writes", "other threads", "other processes"), 0.0)
    for thread in server.threads():
        seconds["event loop" if thread.id == pid else "other threads"] += thread.user_time + thread.system_time
    children = sorted(server.children(), key=lambda child: (child.create_time(), child.pid))
    for number, child in enumerate(children):
        times = child.cpu_times()
        seconds["other processes" if number else "process that writes"] += times.user + times.system
    return seconds


class EchoLoad:
    """As many connections to an echo server, with as many messages under way, as the server has."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._clients: list[EchoClient] = []

    async def connect(self, port: int) -> None:
        """Nothing is sent yet."""
        connections = self._shape.clients + self._shape.solvers
        under_way = max(1, self._shape.clients * self._shape.under_way // connections)
        self._clients = [await dial(port, lambda: EchoClient(port, under_way)) for _ in range(connections)]

    async def turn(self, size: int) -> float:
        """Echoes a second of messages of that size."""
        payload = os.urandom(size)
        for client in self._clients:
            client.begin(payload)
        await asyncio.sleep(RAMP_SECONDS)
        before, started = sum(client.echoed for client in self._clients), time.perf_counter()
        await asyncio.sleep(self._shape.seconds)
        echoes = (sum(client.echoed for client in self._clients) - before) / (time.perf_counter() - started)
        for client in self._clients:
            client.is_stopping = True
        await asyncio.sleep(RAMP_SECONDS)
        return echoes

    def close(self) -> None:
        """All connections."""
        for client in self._clients:
            client.close()


async def measure(ports: tuple[int, int], pid: int, shape: Shape, turns: int, moduli: list[int]) -> Run:
    """Server and echo in turns: a machine's speed changes within seconds, and both should see the same of it."""
    server, echo = ServerLoad(pid, shape), EchoLoad(shape)
    await server.connect(ports[0], moduli)
    await echo.connect(ports[1])
    await server.warm_up()
    measured = []
    for _ in range(turns):
        turn = await server.turn()
        turn.echoes_per_second = await echo.turn(round(turn.bytes_per_message))
        measured.append(turn)
    server.close()
    echo.close()
    return Run(measured, server.tally.wrong, server.tally.errors)


def run(shape: Shape, turns: int, moduli: list[int]) -> Run:
    """A fresh server on a fresh file, and an echo beside it. Its log goes to a file, as an operator's would."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as other:
        folder = Path(name)
        serve = [sys.executable, "-m", "vault_server", "serve", "--port", "0"]
        with (
            (folder / "log").open("w") as log,
            process([sys.executable, "-c", ECHO], Path(other)) as echo,
            process(serve, folder, SETTINGS) as server,
        ):
            ports = first_port(server), first_port(echo)
            drain = subprocess.Popen(["cat"], stdin=server.stdout, stdout=log)
            measured = uvloop.run(measure(ports, server.pid, shape, turns, moduli))
            server.terminate()
            drain.wait(timeout=20)
        return measured


def main() -> None:
    """Take turns, report medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, help="measured time of each turn (1; --cluster: 5)")
    parser.add_argument("--runs", type=int, default=3, help="fresh servers; medians are reported")
    parser.add_argument("--turns", type=int, default=8, help="of server and echo on each fresh server")
    parser.add_argument("--clients", type=int, default=4, help="client connections")
    parser.add_argument("--solvers", type=int, default=4, help="solver connections")
    parser.add_argument("--under-way", type=int, default=64, help="tasks under way at each client; --cluster: at all")
    parser.add_argument("--bits", type=int, default=2048, help="size of the moduli")
    parser.add_argument(
        "--proofs", type=int, nargs="*", metavar="T", help="what checking proofs costs, and making them for these t"
    )
    parser.add_argument(
        "--cluster", action="store_true", help="one to three nodes on one PostgreSQL, and pushes between them: minutes"
    )
    parser.add_argument("--pushes", type=int, default=50, help="with --cluster: tasks whose pushes are timed")
    parser.add_argument(
        "--hive", action="store_true", help="how long the hive's REST door takes, on both databases: minutes"
    )
    parser.add_argument("--requests", type=int, default=300, help="with --hive: requests of each kind")
    options = parser.parse_args()
    if options.hive:
        bench_hive.report(options.requests)
        return
    if options.proofs is not None:
        proving.report(options.proofs, options.bits, options.runs)
        return
    moduli = a_few_moduli(MODULI, options.bits)
    if options.cluster:
        seconds = options.seconds or CLUSTER_SECONDS
        bench_cluster.report(seconds, options.runs, options.under_way, options.pushes, moduli)
        return
    shape = Shape(options.seconds or TURN_SECONDS, options.clients, options.solvers, options.under_way, options.bits)
    runs: list[Run] = []
    for number in range(options.runs):
        runs.append(run(shape, options.turns, moduli))
        for turn in runs[-1].turns:
            print(
                f"server {number + 1}: {turn.tasks_per_second:6.0f} tasks/s  {turn.echoes_per_second:6.0f} echoes/s"
                f"  ratio {turn.ratio:.3f}",
                flush=True,
            )
    report(shape, runs)


def report(shape: Shape, runs: list[Run]) -> None:
    """The figures, as ratios to the floor."""
    turns = [turn for one in runs for turn in one.turns]

    def median(of: Callable[[Turn], float]) -> float:
        return statistics.median(of(turn) for turn in turns)

    low, ratio, high = statistics.quantiles([turn.ratio for turn in turns], method="inclusive")
    tasks = sum(turn.tasks for turn in turns)
    wrong, errors = sum(one.wrong for one in runs), [one.errors for one in runs if one.errors]
    print(
        f"\n{shape.clients} clients, {shape.solvers} instant solvers, {shape.under_way} tasks under way each, "
        f"{shape.bits} bits, t = 1, fsync on, sealed frames, log on; {len(turns)} turns of {shape.seconds:g} s, medians"
    )
    print(
        f"messages a task: {median(lambda turn: turn.messages_in):.2f} in, "
        f"{median(lambda turn: turn.messages_out):.2f} out: "
        f"worth {median(lambda turn: turn.echoes_per_task):.2f} echoes"
    )
    print(f"bytes a message: {median(lambda turn: turn.bytes_per_message):.0f}")
    floor = median(lambda turn: turn.echoes_per_second / turn.echoes_per_task)
    echoes = median(lambda turn: turn.echoes_per_second)
    print(f"floor: {echoes:.0f} echoes/s of the bare library, {floor:.0f} tasks/s")
    print(f"server: {median(lambda turn: turn.tasks_per_second):.0f} tasks/s; wrong answers {wrong}; ", end="")
    print(f"refusals {errors or 'none'}")
    print(f"ratio to the floor of the same seconds: {ratio:.3f} (half of the turns: {low:.3f} to {high:.3f})")
    print("CPU microseconds a task:")
    for part in ("event loop", "process that writes", "other threads", "other processes"):
        print(f"  {part:20} {sum(turn.cpu_seconds.get(part, 0.0) for turn in turns) / tasks * 1e6:6.0f}")
    print(f"  {'the load, beside it':20} {sum(turn.load_seconds for turn in turns) / tasks * 1e6:6.0f}")


if __name__ == "__main__":
    main()
