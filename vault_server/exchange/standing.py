"""Reputation, 0 to 100 from 50, in all systems: the only writer of scores (design §7).

A change is a row of `score_history`; triggers move the score with it and record the push `standing_changed`. How big a
change is, each system's rules say.
"""

from __future__ import annotations

from enum import StrEnum

from protocol.vault import StandingChanged
from vault_server.core.operation import Push, Reader, Row, Transaction, log
from vault_server.storage.queries import load

q = load(__package__)

START = 50.0
DECIMALS = 6


class Standing(StrEnum):
    """Which of a subject's scores."""

    SOLVER = "solver"
    CLIENT = "client"
    PARTICIPANT = "participant"
    AGENT = "agent"


def move(
    tx: Transaction,
    standing: Standing,
    fingerprint: str,
    *,
    old: float,
    new: float,
    reason: str,
    task: str | None,
    now_ms: int,
) -> float:
    """Move a score from `old`, as it stands in its row, to `new`, kept within 0 and 100; the change applied.

    Nothing is written when nothing changes to six decimals.
    """
    after = round(min(100.0, max(0.0, new)), DECIMALS)
    change = round(after - old, DECIMALS)
    if change == 0:
        return 0.0
    written = tx.run(
        q.insert_score_change,
        standing=standing.value,
        fingerprint=fingerprint,
        score_change=change,
        score_after=after,
        reason=reason,
        task_id=task,
        created_at=now_ms,
    )
    assert written == 1, f"{fingerprint} takes part"
    log(
        tx, "standing.changed", standing=standing.value, fingerprint=fingerprint, change=change, score=after, why=reason
    )
    return change


def move_agent(
    tx: Transaction, agent_id: int, *, old: float, new: float, reason: str, task: str | None, now_ms: int
) -> float:
    """The same for an agent of the hive, which has no key; its row is locked. The change applied."""
    after = round(min(100.0, max(0.0, new)), DECIMALS)
    change = round(after - old, DECIMALS)
    if change == 0:
        return 0.0
    tx.run(
        q.insert_agent_score_change,
        agent_id=agent_id,
        score_change=change,
        score_after=after,
        reason=reason,
        task_id=task,
        created_at=now_ms,
    )
    log(tx, "standing.changed", standing="agent", agent=agent_id, change=change, score=after, why=reason)
    return change


def _changed(reader: Reader, push: Row) -> StandingChanged | None:
    row = reader.one(q.score_change, id=int(push["subject"]))
    if row is None:
        return None
    is_participant = row["standing"] == Standing.PARTICIPANT
    return StandingChanged(
        standing=row["standing"],
        reputation_score=row["score_after"],
        score_change=row["score_change"],
        reason=row["reason"],
        task=None if is_participant else row["task_id"],
        task_id=int(row["task_id"]) if is_participant and row["task_id"] else None,
    )


STANDING_CHANGED = Push("standing_changed", _changed)
"""What the triggers on `score_history` record, for every system whose keys have a standing."""
