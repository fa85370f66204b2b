"""One task: what anybody sees of it, what those who have a part in it see, and what each of them can do now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.envelope import Message
from protocol.errors import Code, MessageError
from protocol.hive import PLATFORM_FEE_PERCENT, fee_of
from protocol.hive_records import LINES_MAX, Agent, Claim, Task
from vault_server.web.hive.pages import words
from vault_server.web.hive.pages.site import Entry, Site
from vault_server.web.hive.pages.visit import Visit

AGENTS_SHOWN = 40
"""Bidders whose standing is looked up for one page."""


@dataclass(frozen=True, slots=True)
class Part:
    """What somebody has to do with a task."""

    is_poster: bool
    is_worker: bool
    """He operates the agent that has it."""
    is_admin: bool


@dataclass(frozen=True, slots=True)
class Price:
    """What a task pays the operator of its agent; None while that depends on which bid is accepted."""

    paid: int | None
    is_budget: bool
    """Whether the budget is what is paid; otherwise the accepted bid is."""
    fee_percent: int = PLATFORM_FEE_PERCENT


def _price(task: Task, basis: str) -> Price:
    base = task.budget_credits if basis == "budget" else task.agreed_credits
    return Price(None if base is None else base - fee_of(base), basis == "budget")


async def show_task(site: Site, visit: Visit) -> Response:
    """The task with everything that this visitor may see."""
    task_id = visit.number("task_id")
    task = (await site.ask(visit, wire.GetTask(task_id=task_id), reply.TaskShown)).task
    claims = await _claims(site, visit, task_id)
    work = await _deliverables(site, visit, task_id)
    deliverables = work.deliverables
    agents = await _agents(site, visit, task, claims.claims)
    part = _part(visit, task, agents)
    price = _price(task, site.desk.settings.hive_payment_basis)
    return site.page(
        visit,
        "task.html",
        task=task,
        part=part,
        claims=claims.claims,
        more_claims=claims.cursor,
        own_agents=_own(visit, agents),
        deliverables=deliverables,
        more_work=work.cursor,
        under_review=next((each for each in reversed(deliverables) if each.status == "submitted"), None),
        agents=agents,
        orders=wire,
        price=price,
        told=_told(task, price),
    )


async def _claims(site: Site, visit: Visit, task_id: int) -> reply.ClaimPage:
    """All for its poster, their own for others, none for visitors: the operation decides."""
    if visit.account is None:
        return reply.ClaimPage(claims=(), has_more=False)
    cursor = visit.asked("claims")
    return await site.ask(visit, wire.ListClaims(task_id=task_id, cursor=cursor, limit=LINES_MAX), reply.ClaimPage)


async def _deliverables(site: Site, visit: Visit, task_id: int) -> reply.DeliverableList:
    """The latest page, or the one that is asked for; none for those whom it does not concern."""
    nothing = reply.DeliverableList(deliverables=(), has_more=False)
    if visit.account is None:
        return nothing
    order = wire.ListDeliverables(task_id=task_id, cursor=visit.asked("work"))
    try:
        return await site.ask(visit, order, reply.DeliverableList)
    except MessageError as refusal:
        if refusal.code is Code.FORBIDDEN:
            return nothing
        raise


async def _agents(site: Site, visit: Visit, task: Task, claims: Sequence[Claim]) -> Mapping[int, Agent]:
    """Those that the page speaks of, with their standing."""
    ids = dict.fromkeys([claim.agent_id for claim in claims][:AGENTS_SHOWN])
    if task.claimed_by_agent_id is not None:
        ids[task.claimed_by_agent_id] = None
    shown = await asyncio.gather(*(site.ask(visit, wire.GetAgent(agent_id=each), reply.AgentShown) for each in ids))
    return {each.agent.id: each.agent for each in shown}


def _part(visit: Visit, task: Task, agents: Mapping[int, Agent]) -> Part:
    person = visit.account
    if person is None:
        return Part(is_poster=False, is_worker=False, is_admin=False)
    worker = agents.get(task.claimed_by_agent_id or 0)
    is_worker = worker is not None and worker.operator.id == person.id
    return Part(is_poster=task.poster_id == person.id, is_worker=is_worker, is_admin=person.role == "admin")


def _told(task: Task, price: Price) -> Mapping[str, str]:
    """What was just done, in the words that fit this task."""
    reach = "Agents of its category have been told." if task.category else "Agents find it in the list of open tasks."
    paid = f"The work is accepted and paid: {price.paid} credits to the agent's operator. You can review it below."
    return {**words.DONE, "posted": f"Your task is posted. {reach}", "accepted": paid}


def _own(visit: Visit, agents: Mapping[int, Agent]) -> frozenset[int]:
    """The visitor's own agents among them."""
    if visit.account is None:
        return frozenset()
    return frozenset(agent.id for agent in agents.values() if agent.operator.id == visit.account.id)


def _deed(form: str, cls: type[Message], done: str, fragment: str = "") -> Callable[[Site, Visit], Awaitable[Response]]:
    """The handler of a form on a task's page; `form` is the form's id, with the ids of the address filled in."""

    async def handle(site: Site, visit: Visit) -> Response:
        path = {name: visit.number(name) for name in visit.request.path_params}
        if await site.carry_out(visit, form.format(**path), cls, path) is None:
            return await show_task(site, visit)
        return site.go(f"/tasks/{path['task_id']}", done, fragment)

    return handle


def _entry(path: str, form: str, cls: type[Message], done: str, fragment: str = "") -> Entry:
    back = "/tasks/{task_id}"
    return Entry(path=back + path, post=_deed(form, cls, done, fragment), back=back, needs_account=True)


_CLAIM = "/claims/{claim_id}"
_WORK = "/deliverables/{deliverable_id}"

ENTRIES: list[Entry] = [
    Entry(path="/tasks/{task_id}", get=show_task),
    _entry("/cancel", "cancel", wire.CancelTask, "cancelled"),
    _entry("/rollback", "rollback", wire.RollbackTask, "reopened"),
    _entry("/reclaim", "reclaim", wire.ReclaimTask, "reopened"),
    _entry("/dispute", "dispute", wire.DisputeTask, "disputed"),
    _entry("/resolve", "resolve", wire.ResolveDispute, "resolved"),
    _entry("/review", "review-form", wire.ReviewTask, "reviewed"),
    _entry(f"{_CLAIM}/accept", "accept-claim-{claim_id}", wire.AcceptClaim, "claim-accepted"),
    _entry(f"{_CLAIM}/reject", "reject-claim-{claim_id}", wire.RejectClaim, "claim-rejected"),
    _entry(f"{_CLAIM}/withdraw", "withdraw-claim-{claim_id}", wire.WithdrawClaim, "claim-withdrawn"),
    _entry(f"{_WORK}/accept", "accept-work-{deliverable_id}", wire.AcceptDeliverable, "accepted", "#review"),
    _entry(f"{_WORK}/revision", "revision-{deliverable_id}", wire.RequestRevision, "revision"),
    _entry(f"{_WORK}/reject", "reject-work-{deliverable_id}", wire.RejectDeliverable, "rejected"),
]
