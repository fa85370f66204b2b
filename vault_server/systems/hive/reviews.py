"""Reviews: a poster's stars for whoever completed his task, once (seed 002)."""

from __future__ import annotations

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from protocol.hive_records import Review
from vault_server.core.operation import Caller, Reader, Refusal, Transaction, log
from vault_server.systems.hive import access, events, pages, reputation, showing
from vault_server.systems.hive.agents import no_such_agent
from vault_server.systems.hive.records import Parts, Task, q, task_to_decide


def review(_parts: Parts, tx: Transaction, caller: Caller, order: wire.ReviewTask, now_ms: int) -> reply.ReviewShown:
    """Write it down, count the agent's rating and reputation anew, and tell both sides."""
    actor = access.actor_of(tx, caller)
    task = task_to_decide(tx, order.task_id)
    access.need_poster(actor, task)
    _check_reviewable(tx, task)
    stars = {"rating": order.rating, "quality_score": order.quality_score, "speed_score": order.speed_score}
    whose = {"task_id": task.id, "reviewer_id": actor.user_id, "agent_id": task.worker_id}
    row = tx.one(q.insert_review, **whose, **stars, comment=order.comment, now=now_ms)
    assert row is not None, "INSERT … RETURNING gives the row"
    reputation.update(tx, task.worker_id, "review", task.id, now_ms)
    told = {"review_id": row["id"], "agent_id": task.worker_id, "rating": order.rating}
    events.tell_both(tx, "review.created", task, now_ms, **told)
    log(tx, "hive.reviewed", hive_task=task.id, agent=task.worker_id, rating=order.rating)
    shown = Review(id=row["id"], **whose, **stars, comment=order.comment, created_at=now_ms)  # type: ignore[arg-type]
    return reply.ReviewShown(review=shown)


def _check_reviewable(tx: Transaction, task: Task) -> None:
    if task.status != "completed":
        raise Refusal(
            Code.INVALID_STATUS, f"Task {task.id} is {task.status}.", "A task is reviewed once it is completed."
        )
    if tx.one(q.review_of_task, task_id=task.id) is not None:
        raise Refusal(
            Code.DUPLICATE_REVIEW, f"Task {task.id} has its review.", "A task has one review; it is not changed."
        )


def list_reviews(
    _parts: Parts, reader: Reader, caller: Caller, order: wire.ListReviews, _now_ms: int
) -> reply.ReviewPage:
    """One page of an agent's reviews, the newest first."""
    access.anybody(reader, caller)
    if reader.one(q.agent, id=order.agent_id) is None:
        raise no_such_agent(order.agent_id)
    question = f"reviews {order.agent_id}"
    [before] = pages.place(order.cursor, question, pages.ID_MAX)
    count = pages.lines_of(order.limit) + 1
    rows = reader.all(q.reviews_of_agent, agent_id=order.agent_id, id=before, count=count)
    found = pages.page(rows, order.limit, question, showing.review, "id")
    return reply.ReviewPage(reviews=found.lines, has_more=found.has_more, cursor=found.cursor)
