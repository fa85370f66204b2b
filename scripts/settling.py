"""How long the subnet takes to settle a task, and how that grows with its voters: `python -m scripts.settling`.

One transaction on a fresh SQLite file for each settlement: counting, moving scores, telling everybody, fsync.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from protocol import subnet as wire
from tests.vault_server.people import participant
from tests.vault_server.systems.subnet.harness import Subnet, settings_for
from vault_server.core.operation import SERVER, Caller
from vault_server.storage.sqlite import SqliteDatabase
from vault_server.systems.subnet.orders import CloseVoting

VOTERS = (1, 10, 20, 50, 100, 200)


def main() -> None:
    """Print a table; the machine should have nothing else to do."""
    parser = argparse.ArgumentParser(prog="python -m scripts.settling", description=__doc__)
    parser.add_argument("--tasks", type=int, default=30, help="settlements for each number of voters")
    tasks = parser.parse_args().tasks
    print("voters  ms a settlement (median)  of it CPU  CPU a voter")
    for voters in VOTERS:
        wall, cpu = asyncio.run(measure(voters, tasks))
        print(f"{voters:>6}  {wall:>24.2f}  {cpu:>9.2f}  {cpu / voters:>11.3f}", flush=True)


async def measure(count: int, tasks: int) -> tuple[float, float]:
    """Medians over that many settlements, in milliseconds: by the wall's clock, and of this process."""
    with tempfile.TemporaryDirectory(prefix="vault-settling-") as folder:
        settings = settings_for(Path(folder), subnet_voters_max=1000)
        subnet = Subnet(SqliteDatabase(Path(folder) / "vault.db"), settings)
        await subnet.database.start()
        try:
            times = [times async for times in _settlements(subnet, count, tasks)]
        finally:
            await subnet.database.stop()
    return statistics.median(wall for wall, _ in times), statistics.median(cpu for _, cpu in times)


async def _settlements(subnet: Subnet, count: int, tasks: int) -> AsyncIterator[tuple[float, float]]:
    validator, miner = participant("validator"), participant("miner")
    voters = [participant(f"voter {number}") for number in range(count)]
    await subnet.register(validator, judging=False)
    await subnet.register(miner, mining=True)
    await subnet.register(participant("who never votes"), judging=True)  # else the last vote would settle at once
    await subnet.give_all([(voter, wire.Register(judging=False)) for voter in voters])
    subnet.now_ms += 1
    for _ in range(tasks):
        task = await subnet.create(validator, miner)
        await subnet.submit(task, miner)
        await subnet.give_all(list(_votes(subnet, task, voters)))
        begun, cpu = time.perf_counter(), time.process_time()
        await subnet.give(SERVER, CloseVoting(task))
        yield (time.perf_counter() - begun) * 1000, (time.process_time() - cpu) * 1000


def _votes(subnet: Subnet, task: int, voters: list[Caller]) -> Iterator[tuple[Caller, wire.Vote]]:
    """Two of three for the reference."""
    for number, voter in enumerate(voters):
        side = "miner" if number % 3 == 2 else "validator"
        yield voter, wire.Vote(task_id=task, chosen=subnet.label(task, voter, side))


if __name__ == "__main__":
    main()
