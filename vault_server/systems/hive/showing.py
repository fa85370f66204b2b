"""Rows of the hive as what is shown of them."""

from __future__ import annotations

import json

from protocol import hive_records as shown
from vault_server.core.operation import Reader, Row
from vault_server.systems.hive import rules
from vault_server.systems.hive.access import Actor
from vault_server.systems.hive.records import no_such_task, q


def task_line(row: Row) -> shown.TaskLine:
    """From a row of the view `hive_task_lines`."""
    return shown.TaskLine(
        id=row["id"],
        title=row["title"],
        description=row["description"],
        budget_credits=row["budget_credits"],
        category=_category(row),
        status=row["status"],
        poster=shown.Person(id=row["poster_id"], name=row["poster_name"]),
        claims_count=row["claims_count"],
        deadline=row["deadline"],
        max_revisions=row["max_revisions"],
        created_at=row["created_at"],
    )


def _category(row: Row) -> shown.CategoryName | None:
    if row["category_id"] is None:
        return None
    return shown.CategoryName(id=row["category_id"], name=row["category_name"], slug=row["category_slug"])


def task(reader: Reader, task_id: int, actor: Actor) -> shown.Task:
    """A task, whole, as `actor` may see it. Raises Refusal(TASK_NOT_FOUND)."""
    row = reader.one(q.task_line, id=task_id)
    if row is None:
        raise no_such_task(task_id)
    return shown.Task(
        id=row["id"],
        poster_id=row["poster_id"],
        title=row["title"],
        description=row["description"],
        requirements=row["requirements"],
        budget_credits=row["budget_credits"],
        category_id=row["category_id"],
        category=_category(row),
        status=row["status"],
        claimed_by_agent_id=row["claimed_by_agent_id"],
        posted_by_agent_id=row["posted_by_agent_id"],
        poster=_poster(reader, row),
        claims_count=row["claims_count"],
        agreed_credits=row["agreed_credits"],
        deadline=row["deadline"],
        max_revisions=row["max_revisions"],
        is_self_dealt=row["worker_id"] == row["poster_id"],
        dispute=_dispute(reader, row) if is_party(actor, row["poster_id"], row["worker_id"]) else None,
        review=_review_of(reader, row),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def is_party(actor: Actor, poster_id: int, worker_id: int | None) -> bool:
    """Whether somebody sees what is between a task's poster and the operator of its agent: they, and admins."""
    return actor.user_id in (poster_id, worker_id) or (actor.role == "admin" and actor.agent_id is None)


def _poster(reader: Reader, row: Row) -> shown.Poster:
    counts = reader.one(q.poster_counts, user_id=row["poster_id"])
    assert counts is not None, f"user {row['poster_id']} has posted a task"
    return shown.Poster(
        id=row["poster_id"],
        name=row["poster_name"],
        tasks_posted=counts["posted"],
        tasks_completed=counts["completed"],
        tasks_disputed=counts["disputed"],
    )


def _dispute(reader: Reader, row: Row) -> shown.Dispute | None:
    found = reader.one(q.dispute, task_id=row["id"])
    if found is None:
        return None
    return shown.Dispute(
        kind=found["kind"],
        reason=found["reason"],
        deliverable_id=found["deliverable_id"],
        created_at=found["created_at"],
        outcome=found["outcome"],
        note=found["note"],
        resolved_at=found["resolved_at"],
    )


def _review_of(reader: Reader, row: Row) -> shown.Review | None:
    found = reader.one(q.review_of_task, task_id=row["id"]) if row["status"] == "completed" else None
    return None if found is None else review(found)


def claim(row: Row) -> shown.Claim:
    """From a row of `task_claims` with its agent's name and its task's title."""
    return shown.Claim(
        id=row["id"],
        task_id=row["task_id"],
        agent_id=row["agent_id"],
        proposed_credits=row["proposed_credits"],
        message=row["message"],
        status=row["status"],
        created_at=row["created_at"],
        agent_name=row["agent_name"],
        task_title=row["task_title"],
    )


def deliverable(row: Row, deadline_ms: int | None) -> shown.Deliverable:
    """From a row of `deliverables` and its task's deadline."""
    return shown.Deliverable(
        id=row["id"],
        task_id=row["task_id"],
        agent_id=row["agent_id"],
        content=row["content"],
        status=row["status"],
        revision_number=row["revision_number"],
        revision_notes=row["revision_notes"],
        submitted_at=row["submitted_at"],
        is_late=rules.is_late(row["submitted_at"], deadline_ms),
    )


def review(row: Row) -> shown.Review:
    """From a row of `reviews`."""
    return shown.Review(
        id=row["id"],
        task_id=row["task_id"],
        reviewer_id=row["reviewer_id"],
        agent_id=row["agent_id"],
        rating=row["rating"],
        quality_score=row["quality_score"],
        speed_score=row["speed_score"],
        comment=row["comment"],
        created_at=row["created_at"],
    )


def agent(row: Row) -> shown.Agent:
    """From a row of `agents` with its operator's name: nothing that only he may see."""
    return shown.Agent(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        capabilities=tuple(json.loads(row["capabilities"])),
        category_ids=tuple(json.loads(row["category_ids"])),
        status=row["status"],
        reputation_score=row["reputation_score"],
        is_new=row["tasks_completed"] < rules.REPUTATION_TASKS_MIN,
        tasks_completed=row["tasks_completed"],
        operator=shown.Person(id=row["operator_id"], name=row["operator_name"]),
        created_at=row["created_at"],
        hourly_rate_credits=row["hourly_rate_credits"],
        avg_rating=row["avg_rating"],
    )


def own_agent(row: Row) -> shown.OwnAgent:
    """The same for itself and its operator."""
    return shown.OwnAgent(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        capabilities=tuple(json.loads(row["capabilities"])),
        category_ids=tuple(json.loads(row["category_ids"])),
        status=row["status"],
        reputation_score=row["reputation_score"],
        is_new=row["tasks_completed"] < rules.REPUTATION_TASKS_MIN,
        tasks_completed=row["tasks_completed"],
        operator=shown.Person(id=row["operator_id"], name=row["operator_name"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        hourly_rate_credits=row["hourly_rate_credits"],
        avg_rating=row["avg_rating"],
        api_key_prefix=row["api_key_prefix"],
        webhook_url=row["webhook_url"],
    )


def account(row: Row) -> shown.Account:
    """From a row of `users`, for himself."""
    return shown.Account(
        id=row["id"],
        email=row["email"],
        name=row["name"],
        role=row["role"],
        avatar_url=row["avatar_url"],
        bio=row["bio"],
        credit_balance=row["credit_balance"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def transaction(row: Row) -> shown.CreditTransaction:
    """From a row of `credit_transactions`."""
    return shown.CreditTransaction(
        id=row["id"],
        amount=row["amount"],
        type=row["type"],
        balance_after=row["balance_after"],
        created_at=row["created_at"],
        task_id=row["task_id"],
        counterparty_id=row["counterparty_id"],
        description=row["description"],
    )


def webhook(row: Row) -> shown.Webhook:
    """From a row of `webhooks`: of the secret only its beginning."""
    return shown.Webhook(
        id=row["id"],
        url=row["url"],
        events=tuple(json.loads(row["events"])),
        is_active=bool(row["is_active"]),
        failure_count=row["failure_count"],
        secret_prefix=row["secret_prefix"],
        is_profile=bool(row["is_profile"]),
        created_at=row["created_at"],
        last_triggered_at=row["last_triggered_at"],
    )


def category(row: Row) -> shown.Category:
    """From a row of `categories`."""
    return shown.Category(
        id=row["id"],
        name=row["name"],
        slug=row["slug"],
        description=row["description"],
        icon=row["icon"],
        sort_order=row["sort_order"],
    )
