"""A person's own: what waits for him, his tasks, his credits, his account."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.hive_records import LINES_MAX, TASK_STATUSES, Claim, TaskLine
from vault_server.web.hive.pages import forms
from vault_server.web.hive.pages.lists import NOTHING, address
from vault_server.web.hive.pages.site import Entry, Site
from vault_server.web.hive.pages.visit import Visit

NEWEST = 5
LINES = 20
ROLES = ("poster", "worker")


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for a person: his word on claims, on work, on tasks whose deadline has passed."""

    to_review: Sequence[TaskLine]
    with_claims: Sequence[TaskLine]
    overdue: Sequence[TaskLine]
    to_revise: Sequence[TaskLine]
    """Tasks that his agents work on."""
    to_decide: Sequence[TaskLine]
    """Disputes, for an admin."""

    @property
    def count(self) -> int:
        """How many things they are."""
        return len(self.to_review) + len(self.with_claims) + len(self.overdue) + len(self.to_decide)


async def show_dashboard(site: Site, visit: Visit) -> Response:
    """What waits, the newest tasks, the newest claims of his agents."""
    waiting, posted, claims, credits = await asyncio.gather(
        _waiting(site, visit),
        site.ask(visit, wire.MyTasks(role="poster", limit=NEWEST), reply.TaskPage),
        _claims(site, visit),
        site.ask(visit, wire.AskCredits(limit=NEWEST), reply.CreditPage),
    )
    return site.page(
        visit,
        "dashboard.html",
        waiting=waiting,
        tasks=posted.tasks,
        claims=claims,
        movements=credits.recent_transactions,
        balance=credits.credit_balance,
    )


async def _waiting(site: Site, visit: Visit) -> Waiting:
    def of(role: str, status: str) -> wire.MyTasks:
        return wire.MyTasks(role=role, status=status, limit=LINES_MAX)

    delivered, opened, begun, worked_on = await asyncio.gather(
        *(
            site.ask(visit, question, reply.TaskPage)
            for question in (
                of("poster", "delivered"),
                of("poster", "open"),
                of("poster", "in_progress"),
                of("worker", "in_progress"),
            )
        )
    )
    now_ms = site.desk.clock.now_ms()
    return Waiting(
        to_review=delivered.tasks,
        with_claims=[task for task in opened.tasks if task.claims_count],
        overdue=[task for task in begun.tasks if task.deadline is not None and task.deadline < now_ms],
        to_revise=worked_on.tasks,
        to_decide=await _disputes(site, visit),
    )


async def _disputes(site: Site, visit: Visit) -> Sequence[TaskLine]:
    """The oldest ones; nobody but an admin may ask."""
    if visit.person.role != "admin":
        return ()
    return (await site.ask(visit, wire.ListDisputes(limit=LINES_MAX), reply.TaskPage)).tasks


async def _claims(site: Site, visit: Visit) -> Sequence[Claim]:
    return (await site.ask(visit, wire.MyClaims(limit=NEWEST), reply.ClaimPage)).claims


async def show_own_tasks(site: Site, visit: Visit) -> Response:
    """One page of the tasks that he has posted, or that his agents work on."""
    filters = {name: value for name in ("role", "status") if (value := visit.asked(name)) is not None}
    found = NOTHING
    typed = {name: [value] for name, value in filters.items()}
    cursor = visit.asked("cursor")
    try:
        question = forms.order_of(wire.MyTasks, typed | ({} if cursor is None else {"cursor": [cursor]}), {})
        found = await site.ask(visit, question, reply.TaskPage)
    except forms.BadForm as bad:
        site.refuse(visit, "filters", bad.refusal, bad.wrong)
    return site.page(
        visit,
        "own_tasks.html",
        tasks=found.tasks,
        filters=filters,
        here=address("/dashboard/tasks", filters),
        more=address("/dashboard/tasks", filters, found.cursor) if found.cursor else None,
        is_first=cursor is None,
        statuses=TASK_STATUSES,
    )


async def show_ledger(site: Site, visit: Visit) -> Response:
    """One page of his credits, the newest first."""
    question = wire.AskCredits(cursor=visit.asked("cursor"), limit=LINES)
    found = await site.ask(visit, question, reply.CreditPage)
    return site.page(
        visit,
        "ledger.html",
        balance=found.credit_balance,
        movements=found.recent_transactions,
        more=address("/dashboard/ledger", {}, found.cursor) if found.cursor else None,
        is_first=visit.asked("cursor") is None,
    )


async def show_account(site: Site, visit: Visit) -> Response:
    """His profile, to change."""
    return site.page(visit, "account.html", order=wire.UpdateAccount)


async def update_account(site: Site, visit: Visit) -> Response:
    """His profile as he wants it."""
    if await site.carry_out(visit, "account", wire.UpdateAccount, needed=("name",)) is None:
        return await show_account(site, visit)
    return site.go("/dashboard/account", "saved")


ENTRIES = [
    Entry(path="/dashboard", get=show_dashboard, needs_account=True),
    Entry(path="/dashboard/tasks", get=show_own_tasks, needs_account=True),
    Entry(path="/dashboard/ledger", get=show_ledger, needs_account=True),
    Entry(path="/dashboard/account", get=show_account, post=update_account, needs_account=True),
]
