"""How complaints begin and end in the stories about them."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import MessageError
from protocol.vault import (
    Complain,
    ComplaintRaised,
    ComplaintRuled,
    ComplaintTaken,
    RespondToComplaint,
    StandingChanged,
    SubmitPuzzle,
)
from tests.vault_server.systems.vault.harness import AGREED, Vault
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, start
from vault_server.core.operation import Caller

DAY_MS = 24 * 3_600_000


async def agreed(
    vault: Vault, answers: tuple[int, int] = (WRONG, WRONG), order: SubmitPuzzle = AGREED
) -> tuple[str, list[int]]:
    """A task that A and B have answered so: its fingerprint and their assignments."""
    task, keys = await start(vault, order)
    for who, key, answer in zip((A, B), keys, answers, strict=True):
        await vault.answer(who, key, answer)
    return task, keys


async def complain(
    vault: Vault, task: str, kind: str = "wrong_answer", factor: int | None = None, *, by: Caller = ANN
) -> ComplaintTaken:
    """A client complains."""
    reply: ComplaintTaken = await vault.give(by, Complain(task=task, kind=kind, factor=factor))
    assert (reply.task, factor is None or str(factor) not in repr(reply)) == (task, True)
    return reply


async def refusal(
    vault: Vault, task: str, kind: str = "wrong_answer", factor: int | None = None, *, by: Caller = ANN
) -> MessageError:
    """A client complains in vain, and nothing has happened."""
    before = await everything(vault)
    with pytest.raises(MessageError) as caught:
        await vault.give(by, Complain(task=task, kind=kind, factor=factor))
    assert await everything(vault) == before
    assert factor is None or factor < 1000 or str(factor) not in f"{caught.value} {caught.value.__dict__}"
    return caught.value


async def respond(vault: Vault, who: Caller, complaint: int, key: int, response: str) -> Any:
    """A solver speaks to a complaint."""
    return await vault.give(who, RespondToComplaint(complaint=complaint, assignment=key, response=response))


async def everything(vault: Vault) -> list[list[dict[str, Any]]]:
    """All rows that a complaint can touch."""
    names = ("tasks", "task_assignments", "complaints", "complaint_parties", "score_history", "outbox", "deadlines")
    return [await vault.rows(f"SELECT * FROM {name}") for name in names]


async def complaint(vault: Vault, key: int) -> dict[str, Any]:
    """A complaint's row."""
    return await vault.row("SELECT * FROM complaints WHERE id = :key", key=key)


async def raised(vault: Vault, who: Caller) -> list[ComplaintRaised]:
    """What a solver is asked about."""
    return [push for push in await vault.pushes(who) if isinstance(push, ComplaintRaised)]


async def ruled(vault: Vault, who: Caller) -> list[tuple[str, str]]:
    """The rulings somebody is told, with their reasons."""
    return [(push.ruling, push.reason) for push in await vault.pushes(who) if isinstance(push, ComplaintRuled)]


async def moved(vault: Vault, who: Caller) -> list[tuple[float, str]]:
    """How somebody's score has moved, as it is told: the changes and their reasons."""
    return [(push.score_change, push.reason) for push in await vault.pushes(who) if isinstance(push, StandingChanged)]


async def score(vault: Vault, who: Caller) -> float:
    """A solver's or client's score, as its row says; 50 and the history say the same."""
    table, column = ("solvers", "solver_id") if who.endpoint == "solver" else ("clients", "client_id")
    row = await vault.row(f"SELECT reputation_score FROM {table} WHERE {column} = :key", key=who.fingerprint)
    history = await vault.row(
        "SELECT 50 + coalesce(sum(score_change), 0) AS score FROM score_history"
        " WHERE hotkey = :hotkey AND standing = :standing",
        hotkey=who.hotkey,
        standing=who.endpoint.value,
    )
    assert row["reputation_score"] == pytest.approx(history["score"], abs=5e-7)
    return float(row["reputation_score"])
