"""What the stories about relayed checkpoints share: right residues, and who sends them when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from protocol.errors import MessageError
from protocol.prover import kept_indices
from protocol.puzzle import Trapdoor
from protocol.relay import encode
from protocol.vault import CheckpointOffered, CheckpointTaken, RelayCheckpoint
from tests.vault_server.systems.vault.harness import (
    MODULUS,
    PROVED,
    P,
    Q,
    Vault,
)
from tests.vault_server.systems.vault.stories import A, start
from vault_server.core.operation import Caller

DEPTH = 4
PLACES = 1 << DEPTH
INTERVAL_MS = 1000
WIDTH = 16
TRAPDOOR = Trapdoor(P, Q)
RIGHT = [TRAPDOOR.power(3, place) for place in kept_indices(PROVED.t, DEPTH)]


def part(key: int, residues: Sequence[int], first: int = 0, depth: int = DEPTH) -> RelayCheckpoint:
    return RelayCheckpoint(assignment=key, depth=depth, first=first, residues=encode(residues, MODULUS))


async def relayed(vault: Vault, solver: Caller, key: int, residues: Sequence[int], first: int = 0) -> int:
    """Relay them when an interval has passed; how many are kept then."""
    await vault.wait(INTERVAL_MS)
    reply: CheckpointTaken = await vault.give(solver, part(key, residues, first))
    assert reply == CheckpointTaken(assignment=key, count=reply.count, next_at=vault.now_ms + INTERVAL_MS)
    return reply.count


async def refused(vault: Vault, solver: Caller, order: RelayCheckpoint) -> MessageError:
    before = await vault.rows("SELECT * FROM relays")
    with pytest.raises(MessageError) as caught:
        await vault.give(solver, order)
    assert await vault.rows("SELECT * FROM relays") == before
    return caught.value


async def alone(vault: Vault) -> tuple[str, int]:
    """A proved task that one solver works on; its other slot is open."""
    task, [a] = await start(vault, PROVED, [A])
    return task, a


async def succeed(vault: Vault, solver: Caller, task: str) -> int:
    """One more solver is there and gets the task."""
    await vault.wait(1)
    await vault.join(solver, capacity=4)
    return await vault.key(task, solver)


async def offered(vault: Vault, solver: Caller) -> list[CheckpointOffered]:
    return [push for push in await vault.pushes(solver) if isinstance(push, CheckpointOffered)]


async def relay_of(vault: Vault, key: int) -> dict[str, Any]:
    return await vault.row("SELECT * FROM relays WHERE assignment_id = :key", key=key)


def squared_on(residues: Sequence[int]) -> list[int]:
    """These, and what follows from the last of them."""
    places, followed = kept_indices(PROVED.t, DEPTH), [*residues]
    for before, after in zip(places[len(residues) - 1 :], places[len(residues) :], strict=False):
        followed.append(pow(followed[-1], 1 << (after - before), MODULUS))
    return followed
