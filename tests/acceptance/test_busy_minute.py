"""Our own solver and SDK, kept as busy as they can be, never meet the limits that a server has by default."""

from __future__ import annotations

import asyncio
import signal

from protocol.errors import Code
from protocol.identity import Identity
from tests.acceptance import rows
from tests.acceptance.operators import is_sound
from tests.acceptance.puzzles import LONG, Maker
from tests.conftest import StartServer, StartSolver
from tests.processes import UNHURRIED, Server, Solver
from vault_client import Task, Vault, connect
from vault_server.settings import Settings

DEFAULTS = {name: Settings.model_fields[name].default for name in UNHURRIED}
HEAVY, LIGHT = 3, 120
WORKERS, CAPACITY = HEAVY + 1, 8
"""Each solver reports the progress of what never ends, and has one worker left for the rest."""
SECONDS_MAX = 60.0


async def submit(vault: Vault, maker: Maker, squarings: int) -> tuple[Task, int]:
    """One more task, and its right answer."""
    order, right = maker.order(squarings)
    return await vault.submit(t=order.t, baseg=order.baseg, product=order.product, commitment=order.commitment), right


async def trusted(server: Server, solver: Solver) -> None:
    """It has earned all that it announces, and announces it again; what waits is offered to it."""
    await server.event("solver.status", solver=solver.fingerprint, state="ready")
    solver.send(signal.SIGUSR1)
    await server.event("solver.status", solver=solver.fingerprint, state="paused")
    rows.trust(server.database, solver.fingerprint)
    solver.send(signal.SIGUSR2)
    await server.event("solver.status", solver=solver.fingerprint, state="ready", capacity=CAPACITY)


async def test_progress_without_end_and_many_tasks_at_once_meet_no_default_limit(
    start_server: StartServer, start_solver: StartSolver, maker: Maker
) -> None:
    assert DEFAULTS["max_requests_per_window_client"] < LIGHT
    server = await start_server(**DEFAULTS)
    words = ["--calibration", "0.02", "--capacity", str(CAPACITY), "--grace", "0"]
    async with asyncio.timeout(SECONDS_MAX), connect(server.url, identity=Identity.generate()) as vault:
        heavy = [await submit(vault, maker, LONG) for _ in range(HEAVY)]
        light = asyncio.gather(*(submit(vault, maker, 100 + number) for number in range(LIGHT)))
        solvers = [await start_solver(server, workers=WORKERS, arguments=words) for _ in range(2)]
        for solver in solvers:
            await trusted(server, solver)
        for task, right in await light:
            assert (await task.answer()).y == right
        for task, _ in heavy:
            assert (await vault.status(task.id)).assigned == len(solvers), "both were busy with it"
            await vault.cancel(task.id)
    assert server.find("request.limited") == server.find("key.banned") == []
    assert server.find("request.refused", code=Code.RATE_LIMITED.value) == []
    assert not [line for solver in solvers for line in solver.find("server.limits")]
    is_sound(server)
