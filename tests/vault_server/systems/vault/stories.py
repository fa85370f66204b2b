"""Who plays in the stories about answers, and how each begins."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from protocol.errors import Code, MessageError
from protocol.vault import (
    AssignmentEnded,
    SubmitAnswer,
    SubmitPuzzle,
)
from tests.vault_server.people import client, solver
from tests.vault_server.systems.vault.harness import (
    Vault,
)
from vault_server.core.operation import Caller

ANN = client("ann")
A, B, C, D, E, F = SOLVERS = [solver(name) for name in "abcdef"]
WRONG = 12345


async def start(vault: Vault, order: SubmitPuzzle, solvers: Sequence[Caller] = (A, B)) -> tuple[str, list[int]]:
    """A task with these solvers online: its fingerprint, and the assignments of those who got it, in that order."""
    for one in solvers:
        await vault.join(one, capacity=4)
    task = (await vault.submit(ANN, order)).task
    held = {row["solver_id"]: row["db_key"] for row in await vault.assignments(task)}
    return task, [held[one.fingerprint] for one in solvers if one.fingerprint in held]


async def refused(vault: Vault, who: Caller, key: int, answer: int) -> Code:
    with pytest.raises(MessageError) as caught:
        await vault.give(who, SubmitAnswer(assignment=key, answer=answer))
    assert answer < 1000 or str(answer) not in str(caught.value)
    return caught.value.code


async def ended(vault: Vault, who: Caller) -> list[tuple[int, str]]:
    """What a solver is told of assignments that ended."""
    pushes = await vault.pushes(who)
    return [(push.assignment, push.outcome) for push in pushes if isinstance(push, AssignmentEnded)]
