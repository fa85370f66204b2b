"""What the server orders itself: it starts, unreviewed work is accepted, and what has served its time goes."""

from __future__ import annotations

from vault_server.core.operation import Caller, Transaction, log
from vault_server.systems.hive import orders, rules
from vault_server.systems.hive.deliverables import complete
from vault_server.systems.hive.records import Parts, Task, q


def start_hive(_parts: Parts, tx: Transaction, _caller: Caller, _order: orders.StartHive, now_ms: int) -> None:
    """The seed's categories and the house are there; harmless when they already are."""
    for order, name in enumerate(rules.CATEGORIES, 1):
        tx.run(q.seed_category, name=name, slug=rules.slug(name), sort_order=order)
    tx.run(q.seed_house, email=rules.HOUSE_EMAIL, name=rules.HOUSE_NAME, now=now_ms)


def accept_unreviewed(
    parts: Parts, tx: Transaction, _caller: Caller, order: orders.AcceptUnreviewed, now_ms: int
) -> None:
    """Nobody looked at the work for `hive_auto_accept_hours`: it is accepted."""
    row = tx.one(q.task_to_decide, id=order.task_id)
    deliverable = tx.one(q.submitted_deliverable, task_id=order.task_id)
    if row is None or row["status"] != "delivered" or deliverable is None:
        return
    complete(parts, tx, Task.of(row), deliverable, "accept", now_ms)
    log(tx, "hive.accepted_unreviewed", hive_task=order.task_id)


def tidy(parts: Parts, tx: Transaction, now_ms: int) -> int:
    """Sessions and replies that have ended, and events that nobody has fetched; how many rows."""
    settings = parts.settings
    return (
        tx.run(q.forget_sessions, now=now_ms)
        + tx.run(q.forget_replies, before=now_ms - settings.hive_idempotency_ms)
        + tx.run(q.forget_events, before=now_ms - settings.hive_events_kept_ms)
    )
