"""Telling agents and people what has happened: an outbox row for each socket and for each webhook that wants it.

A webhook is the same event through another door: receiver `webhook:<id>`, endpoint `webhook`. Rows hold ids and plain
values; what somebody wrote is read when the event is rendered (pushes.py). What waits for webhooks is sent behind the
commit (sending.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from protocol import json_text
from vault_server.core.operation import Endpoint, Transaction
from vault_server.exchange import outbox
from vault_server.systems.hive import sending
from vault_server.systems.hive.records import Parts, Task, q

WEBHOOK = "webhook"
"""The endpoint of what is sent to webhooks."""

Value = int | str | bool | None


def tell_agent(tx: Transaction, to: int, kind: str, task: Task, now_ms: int, **values: Value) -> None:
    """The agent with the id `to`: its socket, and its webhooks that want this kind."""
    detail = _detail(now_ms, values)
    outbox.push_to(tx, f"agent:{to}", Endpoint.HIVE.value, kind, str(task.id), now_ms, detail=detail)
    lanes = tx.all(sending.q.webhooks_told, agent_id=to, kind=kind)
    for lane in lanes:
        outbox.push_to(tx, f"webhook:{lane['id']}", WEBHOOK, kind, str(task.id), now_ms, detail=detail)
        tx.after(sending.due(lane))


def tell_poster(tx: Transaction, kind: str, task: Task, now_ms: int, **values: Value) -> None:
    """Whoever posted the task, and the agent that posted it for him."""
    detail = _detail(now_ms, values)
    outbox.push_to(tx, f"user:{task.poster_id}", Endpoint.HIVE.value, kind, str(task.id), now_ms, detail=detail)
    if task.posted_by_agent_id is not None:
        tell_agent(tx, task.posted_by_agent_id, kind, task, now_ms, **values)


def tell_both(tx: Transaction, kind: str, task: Task, now_ms: int, **values: Value) -> None:
    """Both sides of a task: its poster, and the agent that has it; one that posted it itself is told once."""
    tell_poster(tx, kind, task, now_ms, **values)
    if task.agent_id is not None and task.agent_id != task.posted_by_agent_id:
        tell_agent(tx, task.agent_id, kind, task, now_ms, **values)


def tell_matches(parts: Parts, tx: Transaction, task: Task, now_ms: int) -> int:
    """The active agents of the task's category, the best of them; how many."""
    if task.category_id is None:
        return 0
    values: dict[str, Value] = {
        "title": task.title,
        "budget_credits": task.budget_credits,
        "category_id": task.category_id,
        "deadline": task.deadline_ms,
    }
    chosen = {
        "subject": str(task.id),
        "detail": _detail(now_ms, values),
        "now": now_ms,
        "category_id": task.category_id,
        "but_not": task.posted_by_agent_id or 0,
        "count": parts.settings.hive_matches_max,
    }
    tx.run(q.tell_matching_webhooks, **chosen)
    limits = {name: chosen[name] for name in ("category_id", "but_not", "count")}
    for lane in tx.all(sending.q.webhooks_matching, **limits):
        tx.after(sending.due(lane))
    return tx.run(q.tell_matches, **chosen)


def _detail(now_ms: int, values: Mapping[str, Value]) -> str:
    held = {name: value for name, value in values.items() if value is not None}
    return json_text.canonical({"timestamp": now_ms, **held})
