"""Looking for tasks, and posting one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import MessageError
from protocol.hive import BROWSED_STATUSES, SORTS
from vault_server.web.hive.pages import forms
from vault_server.web.hive.pages.site import Entry, Site
from vault_server.web.hive.pages.visit import Visit

FILTERS = ("q", "status", "category", "min_budget", "max_budget", "sort")
LINES = 20
NOTHING = reply.TaskPage(tasks=(), has_more=False)


async def show_tasks(site: Site, visit: Visit) -> Response:
    """One page of the tasks that fit the filters; for anybody."""
    filters = {name: value for name in FILTERS if (value := visit.asked(name)) is not None}
    found = NOTHING
    try:
        found = await site.ask(visit, _question(filters, visit.asked("cursor")), reply.TaskPage)
    except forms.BadForm as bad:
        site.refuse(visit, "filters", bad.refusal, bad.wrong)
    except MessageError as refusal:
        site.refuse(visit, "filters", refusal)
    categories = await site.ask(visit, wire.ListCategories(), reply.CategoryList)
    return site.page(
        visit,
        "tasks.html",
        tasks=found.tasks,
        filters=filters,
        here=address("/tasks", filters),
        more=address("/tasks", filters, found.cursor) if found.cursor else None,
        is_first=visit.asked("cursor") is None,
        categories=categories.categories,
        statuses=BROWSED_STATUSES,
        sorts=SORTS,
    )


def _question(filters: Mapping[str, str], cursor: str | None) -> wire.BrowseTasks | wire.SearchTasks:
    """Words make it a search, which has an order of its own. Raises BadForm."""
    typed: dict[str, list[str]] = {name: [value] for name, value in filters.items()}
    typed |= {"limit": [str(LINES)]}
    if cursor is not None:
        typed["cursor"] = [cursor]
    if "q" in typed:
        typed.pop("sort", None)
        return forms.order_of(wire.SearchTasks, typed, {})
    return forms.order_of(wire.BrowseTasks, typed, {})


def address(path: str, filters: Mapping[str, str], cursor: str | None = None) -> str:
    """A page of a list."""
    query = {**filters, **({} if cursor is None else {"cursor": cursor})}
    return f"{path}?{urlencode(query)}" if query else path


async def show_posting(site: Site, visit: Visit) -> Response:
    """The form for a new task."""
    categories = await site.ask(visit, wire.ListCategories(), reply.CategoryList)
    options = [("", "None"), *((each.id, each.name) for each in categories.categories)]
    is_paid = site.desk.settings.hive_payment_basis == "budget"
    what = "It is paid when you accept the work, whatever was bid" if is_paid else "No bid may be above it"
    hint = f"At least 10. {what}, less a fee of {wire.PLATFORM_FEE_PERCENT} %; nothing is taken from you."
    return site.page(visit, "task_new.html", order=wire.PostTask, category_options=options, budget_hint=hint)


async def post_task(site: Site, visit: Visit) -> Response:
    """A new task, and on to its page."""
    posted: Any = await site.carry_out(visit, "post-task", wire.PostTask)
    return await show_posting(site, visit) if posted is None else site.go(f"/tasks/{posted.task.id}", "posted")


ENTRIES = [
    Entry(path="/tasks", get=show_tasks),
    Entry(path="/dashboard/tasks/new", get=show_posting, post=post_task, needs_account=True),
]
