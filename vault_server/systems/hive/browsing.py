"""Looking for tasks: by state, category and budget, by words, and one's own; page by page."""

from __future__ import annotations

import re
from typing import Any

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from protocol.hive_records import CREDITS_MAX
from vault_server.core.operation import Caller, Query, Reader, Refusal
from vault_server.systems.hive import access, pages, showing
from vault_server.systems.hive.pages import ID_MAX
from vault_server.systems.hive.records import Parts, q

_WORD = re.compile(r"[^\W_]+")
_TIER_MAX = 2
"""Above every tier of a search: 1, all words in the title; 0, not all."""

_BROWSE: dict[str, tuple[Query, Query, tuple[int, ...], tuple[str, ...]]] = {
    "newest": (q.browse_newest, q.browse_newest_in, (ID_MAX,), ("id",)),
    "oldest": (q.browse_oldest, q.browse_oldest_in, (0,), ("id",)),
    "budget_high": (
        q.browse_budget_high,
        q.browse_budget_high_in,
        (CREDITS_MAX + 1, ID_MAX),
        ("budget_credits", "id"),
    ),
    "budget_low": (q.browse_budget_low, q.browse_budget_low_in, (0, 0), ("budget_credits", "id")),
}
"""For each order: the statement without and with a category, where it begins, and the columns that order it."""


def browse_tasks(
    _parts: Parts, reader: Reader, caller: Caller, order: wire.BrowseTasks, _now_ms: int
) -> reply.TaskPage:
    """One page of the tasks in a state."""
    access.anybody(reader, caller)
    filters = _filters(order)
    sort = order.sort or "newest"
    of_all, of_category, first, columns = _BROWSE[sort]
    question = f"browse {sort} {sorted(filters.items())} {order.category}"
    *budget, task_id = pages.place(order.cursor, question, *first)
    values = {**filters, "id": task_id, "count": pages.lines_of(order.limit) + 1}
    if budget:
        values["budget"] = budget[0]
    if order.category is None:
        rows = reader.all(of_all, **values)
    else:
        rows = reader.all(of_category, category=order.category, **values)
    found = pages.page(rows, order.limit, question, showing.task_line, *columns)
    return reply.TaskPage(tasks=found.lines, has_more=found.has_more, cursor=found.cursor)


def search_tasks(
    _parts: Parts, reader: Reader, caller: Caller, order: wire.SearchTasks, _now_ms: int
) -> reply.TaskPage:
    """One page of the tasks that have all the words, by relevance: a rank that no later task changes."""
    access.anybody(reader, caller)
    words = _WORD.findall(order.q)
    if not words:
        raise Refusal(Code.INVALID_PARAMETER, "Field 'q' holds no word.", "Send words of two characters or more.")
    filters = _filters(order)
    question = f"search {words} {sorted(filters.items())} {order.category}"
    tier, task_id = pages.place(order.cursor, question, _TIER_MAX, ID_MAX)
    every = " AND ".join(f'"{word}"' for word in words)
    rows = reader.all(
        q.search_tasks,
        **filters,
        anywhere=every,
        in_title=f"title : ({every})",
        words=" & ".join(words),
        weighed=" & ".join(f"{word}:A" for word in words),
        category=order.category,
        tier=tier,
        id=task_id,
        count=pages.lines_of(order.limit) + 1,
    )
    found = pages.page(rows, order.limit, question, showing.task_line, "tier", "id")
    return reply.TaskPage(tasks=found.lines, has_more=found.has_more, cursor=found.cursor)


def _filters(order: wire.BrowseTasks | wire.SearchTasks) -> dict[str, Any]:
    low = 0 if order.min_budget is None else order.min_budget
    high = CREDITS_MAX if order.max_budget is None else order.max_budget
    if low > high:
        raise Refusal(
            Code.INVALID_PARAMETER,
            f"Field 'min_budget' {low} is above 'max_budget' {high}.",
            "Send a range that holds something.",
        )
    return {"status": order.status or "open", "min_budget": low, "max_budget": high}


def my_tasks(_parts: Parts, reader: Reader, caller: Caller, order: wire.MyTasks, _now_ms: int) -> reply.TaskPage:
    """One page of the tasks that the caller works on, or has posted."""
    actor = access.actor_of(reader, caller)
    role = order.role or ("poster" if actor.agent_id is None else "worker")
    question = f"my_tasks {caller.account} {role} {order.status}"
    [before] = pages.place(order.cursor, question, ID_MAX)
    values = {"id": before, "status": order.status, "count": pages.lines_of(order.limit) + 1}
    if role == "poster":
        rows = reader.all(q.tasks_of_poster, user_id=actor.user_id, **values)
    elif actor.agent_id is not None:
        rows = reader.all(q.tasks_of_agent, agent_id=actor.agent_id, **values)
    else:
        rows = reader.all(q.tasks_of_operator, user_id=actor.user_id, **values)
    found = pages.page(rows, order.limit, question, showing.task_line, "id")
    return reply.TaskPage(tasks=found.lines, has_more=found.has_more, cursor=found.cursor)


def list_categories(
    _parts: Parts, reader: Reader, caller: Caller, _order: wire.ListCategories, _now_ms: int
) -> reply.CategoryList:
    """All of them, in their order."""
    access.anybody(reader, caller)
    return reply.CategoryList(categories=tuple(showing.category(row) for row in reader.all(q.categories)))
