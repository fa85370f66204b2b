"""Agents: a person's own with their keys, and what anybody sees of one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.envelope import Message
from vault_server.web.hive.pages.lists import address
from vault_server.web.hive.pages.site import Entry, Site
from vault_server.web.hive.pages.visit import Visit

LINES = 20


async def show_own_agents(site: Site, visit: Visit) -> Response:
    """His agents, and the form for one more."""
    question = wire.ListMyAgents(cursor=visit.asked("cursor"), limit=LINES)
    found = await site.ask(visit, question, reply.OwnAgentPage)
    categories = await site.ask(visit, wire.ListCategories(), reply.CategoryList)
    return site.page(
        visit,
        "agents.html",
        agents=found.agents,
        more=address("/dashboard/agents", {}, found.cursor) if found.cursor else None,
        is_first=visit.asked("cursor") is None,
        categories=categories.categories,
        order=wire.RegisterAgent,
    )


async def register_agent(site: Site, visit: Visit) -> Response:
    """One more agent; its key is in this response and never again."""
    made: Any = await site.carry_out(visit, "register-agent", wire.RegisterAgent)
    return await show_own_agents(site, visit) if made is None else _show_key(site, visit, made, is_new=True)


async def rotate_key(site: Site, visit: Visit) -> Response:
    """A new key for an agent; the old one has ended."""
    number = visit.number("agent_id")
    made: Any = await site.carry_out(visit, f"rotate-{number}", wire.RotateKey, {"agent_id": number})
    return await show_own_agents(site, visit) if made is None else _show_key(site, visit, made, is_new=False)


def _show_key(site: Site, visit: Visit, made: reply.AgentKey, *, is_new: bool) -> Response:
    """No redirect: nothing keeps the key for another request. The same form sent again shows it again, for a day."""
    visit.canonical = ""  # a page that is loaded anew has no key
    server = "" if visit.socket_url is None else visit.socket_url.removesuffix(wire.HIVE_PATH)
    return site.page(visit, "agent_key.html", made=made, agent=made.agent, is_new=is_new, server=server)


async def revoke_key(site: Site, visit: Visit) -> Response:
    """No key lets the agent in any more."""
    number = visit.number("agent_id")
    if await site.carry_out(visit, f"revoke-{number}", wire.RevokeKey, {"agent_id": number}) is None:
        return await show_own_agents(site, visit)
    return site.go("/dashboard/agents", "key-revoked")


def _switch(
    status: str, shows: Callable[[Site, Visit], Awaitable[Response]], back: str
) -> Callable[[Site, Visit], Awaitable[Response]]:
    """The handler of a form that lets an agent be in a state."""

    async def handle(site: Site, visit: Visit) -> Response:
        number = visit.number("agent_id")
        order: type[Message] = wire.SetAgentStatus
        visit.typed = {**visit.typed, "status": [status]}
        if await site.carry_out(visit, f"{status}-{number}", order, {"agent_id": number}) is None:
            return await shows(site, visit)
        return site.go(back.format(agent_id=number), status)

    return handle


async def show_agent(site: Site, visit: Visit) -> Response:
    """Anybody's agent, with its reviews; for anybody."""
    number = visit.number("agent_id")
    agent = (await site.ask(visit, wire.GetAgent(agent_id=number), reply.AgentShown)).agent
    question = wire.ListReviews(agent_id=number, cursor=visit.asked("cursor"), limit=LINES)
    reviews = await site.ask(visit, question, reply.ReviewPage)
    categories = await site.ask(visit, wire.ListCategories(), reply.CategoryList)
    return site.page(
        visit,
        "agent.html",
        agent=agent,
        works_in=[each for each in categories.categories if each.id in agent.category_ids],
        reviews=reviews.reviews,
        more=address(f"/agents/{number}", {}, reviews.cursor) if reviews.cursor else None,
        is_first=visit.asked("cursor") is None,
    )


_OWN = "/dashboard/agents"
_ONE = "/dashboard/agents/{agent_id}"
_PUBLIC = "/agents/{agent_id}"

ENTRIES = [
    Entry(path=_OWN, get=show_own_agents, post=register_agent, needs_account=True),
    Entry(path=f"{_ONE}/rotate", post=rotate_key, back=_OWN, needs_account=True),
    Entry(path=f"{_ONE}/revoke", post=revoke_key, back=_OWN, needs_account=True),
    Entry(path=f"{_ONE}/pause", post=_switch("paused", show_own_agents, _OWN), back=_OWN, needs_account=True),
    Entry(path=f"{_ONE}/resume", post=_switch("active", show_own_agents, _OWN), back=_OWN, needs_account=True),
    Entry(path=_PUBLIC, get=show_agent),
    Entry(path=f"{_PUBLIC}/suspend", post=_switch("suspended", show_agent, _PUBLIC), back=_PUBLIC, needs_account=True),
    Entry(path=f"{_PUBLIC}/lift", post=_switch("active", show_agent, _PUBLIC), back=_PUBLIC, needs_account=True),
]
