"""What admins do: decide disputes and deposit credits. They suspend an agent on its own page."""

from __future__ import annotations

from starlette.responses import Response

from protocol import hive as wire
from protocol import hive_replies as reply
from vault_server.web.hive.pages.lists import address
from vault_server.web.hive.pages.site import Entry, Site
from vault_server.web.hive.pages.visit import Visit

LINES = 20


async def show_disputes(site: Site, visit: Visit) -> Response:
    """The tasks that wait for an admin, the oldest first. Everybody else is refused by the operation."""
    question = wire.ListDisputes(cursor=visit.asked("cursor"), limit=LINES)
    found = await site.ask(visit, question, reply.TaskPage)
    return site.page(
        visit,
        "disputes.html",
        tasks=found.tasks,
        more=address("/admin/disputes", {}, found.cursor) if found.cursor else None,
        is_first=visit.asked("cursor") is None,
        order=wire.Deposit,
    )


async def deposit(site: Site, visit: Visit) -> Response:
    """Credits for a user."""
    if await site.carry_out(visit, "deposit", wire.Deposit) is None:
        return await show_disputes(site, visit)
    return site.go("/admin/disputes", "deposited")


ENTRIES = [
    Entry(path="/admin/disputes", get=show_disputes, needs_account=True),
    Entry(path="/admin/deposit", post=deposit, back="/admin/disputes", needs_account=True),
]
