"""A solver dies; who gets its task after it goes on from what it relayed, or from zero when that was wrong."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from protocol.prover import kept_indices
from protocol.puzzle import make_modulus
from protocol.relay import encode
from protocol.vault import (
    SOLVER_PATH,
    AcceptAssignment,
    AssignmentAccepted,
    CheckpointTaken,
    PuzzleAccepted,
    PuzzleAnswered,
    PuzzleOffered,
    RelayCheckpoint,
    StandingChanged,
    StatusUpdated,
    SubmitPuzzle,
    UpdateStatus,
)
from tests.acceptance import rows
from tests.acceptance.operators import is_sound
from tests.conftest import StartServer
from tests.dialling import Dialled, dial
from tests.processes import LoggingProcess, Server
from tests.vault_solver.watched_solver import WatchedSolver

MODULUS, TRAPDOOR = make_modulus(512)
LONG = 12_000_000
"""Squarings: some one and a half seconds."""
ENOUGH = 0.6
"""Of them, relayed before the first solver dies."""
OFTEN = ("--crash-loss", "0.1")
DEPTH = 6


async def begin(server: Server, processes: list[LoggingProcess], folder: Path, name: str) -> WatchedSolver:
    """A solver that is online and whose squarings are counted."""
    (folder / name).mkdir()
    solver = WatchedSolver(server, folder / name, OFTEN)
    processes.append(solver)
    await solver.start()
    return solver


async def relayed_share(server: Server, task: str) -> float:
    """Wait until that much of the task is relayed: how much it is."""
    until = time.monotonic() + 30
    while True:
        found = rows.look(
            server.database, f"SELECT max(1.0 * count / (1 << depth)) FROM relays WHERE task_id = '{task}'"
        )
        share = found[0][0]
        if isinstance(share, float) and share >= ENOUGH:
            return share
        assert time.monotonic() < until, f"only {share} of the task is relayed\n{server.tail()}"
        await asyncio.sleep(0.02)


async def submitted(client: Dialled) -> str:
    return (await client.ask(SubmitPuzzle(t=LONG, baseg=3, product=MODULUS), PuzzleAccepted)).task


async def answered(client: Dialled) -> None:
    push = await client.take(PuzzleAnswered, seconds=60)
    assert (push.answer, push.judged_by) == (TRAPDOOR.power(3, LONG), "proof")


@pytest.fixture
async def server(start_server: StartServer) -> Server:
    return await start_server(relay_interval_ms=100)


async def test_a_successor_goes_on_from_what_a_killed_solver_relayed(
    server: Server, processes: list[LoggingProcess], tmp_path: Path
) -> None:
    first = await begin(server, processes, tmp_path, "first")
    async with await dial(server.url) as client:
        task = await submitted(client)
        share = await relayed_share(server, task)
        first.end_group()
        second = await begin(server, processes, tmp_path, "second")
        given = (await second.event("checkpoint.taken_over"))["percent"] / 100
        in_vain = second.squarings  # from zero, until the checkpoint was checked and there
        await answered(client)
    assert given > share - 0.01
    proof_and_checks = LONG / 10
    assert second.squarings - in_vain < LONG * (1 - given) + proof_and_checks
    assert second.squarings < LONG
    await second.event("assignment.verdict")
    assert server.find("checkpoint.refuted") == []
    assert rows.look(server.database, "SELECT * FROM relays") == []
    is_sound(server)


async def test_a_damaged_checkpoint_blames_who_relayed_it_and_the_successor_starts_from_zero(
    server: Server, processes: list[LoggingProcess], tmp_path: Path
) -> None:
    async with await dial(server.url) as client, await dial(server.url, SOLVER_PATH) as liar:
        await liar.ask(UpdateStatus(state="ready", capacity=1, speeds={"512": 1_000_000}), StatusUpdated)
        await submitted(client)
        offer = await liar.take(PuzzleOffered)
        await liar.ask(AcceptAssignment(assignment=offer.assignment), AssignmentAccepted)
        residues = [TRAPDOOR.power(3, place) for place in kept_indices(LONG, DEPTH)[:50]]
        residues[30] ^= 1
        part = RelayCheckpoint(assignment=offer.assignment, depth=DEPTH, first=0, residues=encode(residues, MODULUS))
        assert (await liar.ask(part, CheckpointTaken)).count == 50
        second = await begin(server, processes, tmp_path, "second")
        refuted = await server.event("checkpoint.refuted")
        moved = await liar.take(StandingChanged)
        await answered(client)
    assert refuted["solver"] == liar.welcome.fingerprint
    assert (moved.reason, moved.score_change < -40) == ("relayed checkpoint proved wrong", True)
    assert second.find("checkpoint.taken_over") == []
    assert second.squarings >= LONG
    assert server.find("standing.changed", reason="relayed checkpoint proved wrong", solver=second.fingerprint) == []
    is_sound(server)
