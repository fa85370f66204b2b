"""Whom a relayed checkpoint is handed to: who has the task after its solver, once it is checked."""

from __future__ import annotations

import pytest

from protocol.prover import kept_indices
from protocol.relay import encode
from protocol.vault import CheckpointOffered
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.harness import (
    BITS,
    HOUR_MS,
    MODULUS,
    PROVED,
    Vault,
)
from tests.vault_server.systems.vault.relaying import (
    DEPTH,
    INTERVAL_MS,
    RIGHT,
    alone,
    offered,
    relay_of,
    relayed,
    succeed,
)
from tests.vault_server.systems.vault.stories import A, B, C, start
from vault_server.core.operation import JobDue
from vault_server.systems.vault.timing import observe


@pytest.fixture
async def vault(make_vault: MakeVault) -> Vault:
    return await make_vault(relay_interval_ms=INTERVAL_MS)


async def test_who_takes_the_open_slot_goes_on_from_the_checkpoint_once_it_is_checked(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    b = await succeed(vault, B, task)
    assert vault.jobs == [JobDue("check_checkpoint", str(a), A.fingerprint)]
    assert await offered(vault, B) == []
    await vault.judge()
    assert await offered(vault, B) == [
        CheckpointOffered(assignment=b, depth=DEPTH, residues=encode(RIGHT[:5], MODULUS))
    ]
    assert await offered(vault, A) == []
    row = await relay_of(vault, a)
    assert (row["checked"], row["status"]) == (5, "open")
    assert vault.logged("checkpoint.offered") == [
        {"task": task, "assignment": b, "solver": B.fingerprint, "residues": 5}
    ]


async def test_who_takes_over_after_a_deadline_or_a_return_goes_on_too(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    await vault.wait(9 * HOUR_MS)
    assert await vault.status(a) == "expired"
    b = await succeed(vault, B, task)
    await vault.judge()
    assert len(await offered(vault, B)) == 1
    await relayed(vault, B, b, RIGHT[5:9], first=5)
    await vault.join(C, capacity=4)
    c = await vault.key(task, C)
    await vault.judge()
    await vault.hand_back(B, b)
    assert [push.residues for push in await offered(vault, C)] == [encode(RIGHT[:9], MODULUS)]
    assert await vault.status(c) == "offered"


async def test_two_who_begin_together_are_not_each_others_successors(vault: Vault) -> None:
    task, [a, b] = await start(vault, PROVED)
    await relayed(vault, A, a, RIGHT[:5])
    await relayed(vault, B, b, RIGHT[:2])
    assert vault.jobs == []
    await vault.hand_back(B, b)
    c = await succeed(vault, C, task)
    queued = [JobDue("check_checkpoint", str(a), A.fingerprint), JobDue("check_checkpoint", str(b), B.fingerprint)]
    assert vault.jobs == queued  # the farthest first; a false one must not keep the other waiting
    await vault.judge()
    assert [push.assignment for push in await offered(vault, C)] == [c]
    assert await offered(vault, A) == await offered(vault, B) == []


async def test_what_is_checked_is_not_checked_again(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    b = await succeed(vault, B, task)
    await vault.judge()
    await vault.hand_back(B, b)
    await succeed(vault, C, task)
    assert vault.jobs == []
    assert len(await offered(vault, C)) == 1


async def test_a_successor_that_comes_during_the_check_gets_it_as_well(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    b = await succeed(vault, B, task)
    await vault.hand_back(B, b)
    await succeed(vault, C, task)
    assert len(vault.jobs) == 1
    await vault.judge()
    assert len(await offered(vault, C)) == 1
    assert await offered(vault, B) == []


@pytest.mark.parametrize("end", ["acknowledged", "returned"])
async def test_the_offer_stays_until_it_is_acknowledged_or_its_assignment_ends(vault: Vault, end: str) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    b = await succeed(vault, B, task)
    await vault.judge()
    await vault.restart()
    assert len(await offered(vault, B)) == 1
    if end == "acknowledged":
        await vault.acknowledge(B)
    else:
        await vault.hand_back(B, b)
    assert await vault.rows("SELECT seq FROM outbox WHERE kind = 'checkpoint_offered'") == []


async def test_what_was_handed_on_is_the_successors_own_and_is_continued(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    b = await succeed(vault, B, task)
    await vault.judge()
    row = await relay_of(vault, b)
    assert (row["count"], row["checked"], row["depth"]) == (5, 5, DEPTH)
    assert await relayed(vault, B, b, RIGHT[:6]) == 6  # one that has begun at its start all the same


async def test_the_speed_of_a_successor_is_seen_by_what_it_squared_itself(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:12])
    b = await succeed(vault, B, task)
    await vault.judge()
    [row] = await vault.rows("SELECT head_start FROM task_assignments WHERE db_key = :key", key=b)
    assert row["head_start"] == kept_indices(PROVED.t, DEPTH)[11] / PROVED.t
    await vault.wait(2000)
    await vault.prove(B, b)
    own = round(PROVED.t * (1 - row["head_start"]))
    assert (await vault.solver(B))["observed_speed"] == observe(0, taken_ms=2000, squarings=own, modulus_bits=BITS)
    await vault.judge()
    assert (await vault.solver(B))["good"] == 1


async def test_who_has_come_farther_is_offered_nothing(vault: Vault) -> None:
    task, a = await alone(vault)
    b = await succeed(vault, B, task)
    await relayed(vault, B, b, RIGHT[:6])
    await relayed(vault, A, a, RIGHT[:5])
    await vault.hand_back(A, a)
    await vault.wait(1)
    await vault.join(C, capacity=4)
    queued = [JobDue("check_checkpoint", str(b), B.fingerprint), JobDue("check_checkpoint", str(a), A.fingerprint)]
    assert vault.jobs == queued
    await vault.judge()
    assert await offered(vault, B) == []
    assert [push.residues for push in await offered(vault, C)] == [encode(RIGHT[:6], MODULUS)]
