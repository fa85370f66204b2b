"""Tasks per second, end to end through real sockets, beside a bare echo of messages of the same sizes.

A task's messages are counted as they pass; one echo is worth two of them. Floor and server take turns, medians are
reported, and the server's CPU time is split by thread. Loads go to 127.0.0.1, bounded in time. With --proofs: what
proofs of repeated squaring cost, instead.
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
from collections.abc import Iterator
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
    """How large the load is."""

    seconds: float
    clients: int
    solvers: int
    under_way: int
    bits: int


@dataclass(slots=True)
class ServerRun:
    """What one run of the server gave."""

    tasks_per_second: float
    messages_in: float
    messages_out: float
    bytes_per_message: float
    cpu_by_thread: dict[str, float]
    load_cpu: float
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


async def measure_server(port: int, pid: int, shape: Shape, moduli: list[int]) -> ServerRun:
    """Load a running server for `shape.seconds` after a short warm-up."""
    tally = Tally()
    solvers = [await dial(port, lambda: InstantSolver(port)) for _ in range(shape.solvers)]
    for solver in solvers:
        solver.request(wire.UpdateStatus(state="ready", capacity=1024, speeds={"4096": 1_000_000}))
    clients = [await dial(port, lambda: LoadClient(port, moduli, shape.under_way, tally)) for _ in range(shape.clients)]
    await asyncio.sleep(0.3)
    for client in clients:
        client.begin()
    await asyncio.sleep(min(2.0, shape.seconds / 3))
    everyone = [*solvers, *clients]

    def counts() -> tuple[int, int, int]:
        frames_in = sum(s.frames_in for s in everyone)
        frames_out = sum(s.frames_out for s in everyone)
        return frames_in, frames_out, sum(s.bytes_in + s.bytes_out for s in everyone)

    before, cpu_before, answered, started = counts(), cpu_seconds(pid), tally.answered, time.perf_counter()
    load_before = time.process_time()
    await asyncio.sleep(shape.seconds)
    seconds, load_seconds = time.perf_counter() - started, time.process_time() - load_before
    after, cpu_after, tasks = counts(), cpu_seconds(pid), tally.answered - answered
    for client in clients:
        client.is_stopping = True
    for _ in range(500):
        if all(client.is_done for client in clients):
            break
        await asyncio.sleep(0.01)
    assert all(client.is_done for client in clients), f"tasks were left without an answer: {tally}"
    for socket in everyone:
        socket.close()
    messages = after[0] - before[0] + after[1] - before[1]
    return ServerRun(
        tasks / seconds,
        (after[1] - before[1]) / tasks,
        (after[0] - before[0]) / tasks,
        (after[2] - before[2]) / messages,
        {name: (cpu_after[name] - cpu_before.get(name, 0.0)) / tasks * 1e6 for name in cpu_after},
        load_seconds / tasks * 1e6,
        tally.wrong,
        tally.errors,
    )


def cpu_seconds(pid: int) -> dict[str, float]:
    """CPU seconds of a server by thread: the event loop's is the one with the process's own number. What another
    process writes for it is that process's as a whole.
    """
    server = psutil.Process(pid)
    seconds = {"loop" if t.id == pid else f"thread {t.id}": t.user_time + t.system_time for t in server.threads()}
    for child in server.children():
        times = child.cpu_times()
        seconds[f"process {child.pid}"] = times.user + times.system
    return seconds


async def measure_echo(port: int, shape: Shape, payloads: list[bytes]) -> float:
    """Echoes a second at an echo server, with as many connections and messages under way as the server has."""
    connections = shape.clients + shape.solvers
    under_way = max(1, shape.clients * shape.under_way // connections)
    clients = [await dial(port, lambda: EchoClient(port, payloads, under_way)) for _ in range(connections)]
    await asyncio.sleep(min(1.0, shape.seconds / 3))
    before, started = sum(c.echoed for c in clients), time.perf_counter()
    await asyncio.sleep(shape.seconds)
    echoes = (sum(c.echoed for c in clients) - before) / (time.perf_counter() - started)
    for client in clients:
        client.close()
    return echoes


def run_server(shape: Shape, moduli: list[int]) -> ServerRun:
    """A fresh server on a fresh file, loaded once. Its log goes to a file, as an operator's would."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = (folder / "log").open("w+")
        with process([sys.executable, "-m", "vault_server", "serve", "--port", "0"], folder, SETTINGS) as running:
            port = first_port(running)
            assert running.stdout is not None, "standard output is a pipe"
            drain = subprocess.Popen(["cat"], stdin=running.stdout, stdout=log)
            run = uvloop.run(measure_server(port, running.pid, shape, moduli))
            running.terminate()
            drain.wait(timeout=20)
        log.close()
        return run


def run_echo(shape: Shape, size: int) -> float:
    """A fresh echo server, loaded once with payloads of the size that the server's messages have."""
    with tempfile.TemporaryDirectory() as name, process([sys.executable, "-c", ECHO], Path(name)) as running:
        return uvloop.run(measure_echo(first_port(running), shape, [os.urandom(size)]))


def main() -> None:
    """Take turns, report medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="measured time of each run")
    parser.add_argument("--runs", type=int, default=3, help="turns; medians are reported")
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
    shape = Shape(options.seconds, options.clients, options.solvers, options.under_way, options.bits)
    moduli = a_few_moduli(MODULI, shape.bits)
    if options.cluster:
        bench_cluster.report(shape.seconds, options.runs, shape.under_way, options.pushes, moduli)
        return
    servers: list[ServerRun] = []
    echoes: list[float] = []
    for turn in range(options.runs):
        servers.append(run_server(shape, moduli))
        echoes.append(run_echo(shape, round(servers[-1].bytes_per_message)))
        print(f"run {turn + 1}: {servers[-1].tasks_per_second:7.0f} tasks/s {echoes[-1]:8.0f} echoes/s", flush=True)
    report(shape, servers, echoes)


def report(shape: Shape, servers: list[ServerRun], echoes: list[float]) -> None:
    """The figures, as ratios to the floor."""
    tasks = statistics.median(run.tasks_per_second for run in servers)
    echo = statistics.median(echoes)
    sent = statistics.median(run.messages_in for run in servers)
    received = statistics.median(run.messages_out for run in servers)
    echoes_a_task = (sent + received) / 2
    floor = echo / echoes_a_task
    wrong, errors = sum(run.wrong for run in servers), [run.errors for run in servers if run.errors]
    print(
        f"\n{shape.clients} clients, {shape.solvers} instant solvers, {shape.under_way} tasks under way each, "
        f"{shape.bits} bits, t = 1, fsync on, sealed frames, log on"
    )
    print(f"messages a task: {sent:.2f} in, {received:.2f} out: worth {echoes_a_task:.2f} echoes")
    print(f"bytes a message: {statistics.median(run.bytes_per_message for run in servers):.0f}")
    print(f"floor: {echo:.0f} echoes/s of the bare library, {floor:.0f} tasks/s")
    print(f"server: {tasks:.0f} tasks/s; wrong answers {wrong}; refusals {errors or 'none'}")
    print(f"ratio to the floor: {tasks / floor:.2f}")
    print("CPU microseconds a task, by thread of the server:")
    by_thread = sorted(servers[-1].cpu_by_thread.items(), key=lambda item: -item[1])
    for name, microseconds in by_thread:
        if microseconds >= 1:
            print(f"  {name:16} {microseconds:6.0f}")
    print(f"and of the load, which shares the machine: {servers[-1].load_cpu:.0f}")


if __name__ == "__main__":
    main()
