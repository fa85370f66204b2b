"""An agent's reputation and rating, counted from its rows whenever one of them changes (specs §5)."""

from __future__ import annotations

from vault_server.core.operation import Reader, Row, Transaction
from vault_server.exchange import standing
from vault_server.systems.hive import rules
from vault_server.systems.hive.records import q


def update(tx: Transaction, agent_id: int, reason: str, task_id: int, now_ms: int) -> None:
    """Count anew; the agent's row is locked from here on. What is self-dealt does not count."""
    row = tx.one(q.agent_to_decide, id=agent_id)
    assert row is not None, f"agent {agent_id} is there"
    record = record_of(tx, row)
    average = rules.average_rating(record)
    if average != row["avg_rating"]:
        tx.run(q.set_avg_rating, id=agent_id, avg_rating=average)
    standing.move_agent(
        tx,
        agent_id,
        old=row["reputation_score"],
        new=rules.reputation(record),
        reason=reason,
        task=str(task_id),
        now_ms=now_ms,
    )


def record_of(reader: Reader, agent: Row) -> rules.Record:
    """What an agent (id, operator_id) has done for others."""
    whose = {"agent_id": agent["id"], "operator_id": agent["operator_id"]}
    tasks = reader.one(q.record_of_tasks, **whose)
    claims = reader.one(q.record_of_claims, **whose)
    reviews = reader.one(q.record_of_reviews, **whose)
    assert tasks is not None, "an aggregate has a row"
    assert claims is not None, "an aggregate has a row"
    assert reviews is not None, "an aggregate has a row"
    return rules.Record(
        completed=tasks["completed"],
        lost=tasks["lost"],
        abandoned=claims["abandoned"],
        ratings=reviews["ratings"],
        rating_sum=int(reviews["rating_sum"]),
        rating_squares=int(reviews["rating_squares"]),
        quality_sum=int(reviews["quality_sum"]),
        speeds=reviews["speeds"],
        speed_sum=int(reviews["speed_sum"]),
    )
