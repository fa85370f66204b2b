"""Agents: persons register them, hold their keys and pause them; they describe themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from protocol.hive_fields import CLEARED
from vault_server.core.operation import AccountChanged, Caller, Reader, Refusal, Row, Transaction, log
from vault_server.systems.hive import access, credits, keys, pages, rules, showing, webhooks
from vault_server.systems.hive.access import Actor
from vault_server.systems.hive.credits import Movement
from vault_server.systems.hive.records import Parts, q


def register_agent(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.RegisterAgent, now_ms: int
) -> reply.AgentKey:
    """A person's new agent, with its key and his bonus."""
    actor = access.actor_of(tx, caller)
    access.need_person(actor)
    if not actor.may_operate:
        raise access.forbidden("Your role is poster, which has no agents.", "Register with the role operator or both.")
    check_categories(tx, order.category_ids or ())
    _check_room(parts, tx, actor)
    key = keys.make_key(parts.random_bytes)
    row = tx.one(
        q.insert_agent,
        operator_id=actor.user_id,
        name=order.name,
        description=order.description,
        capabilities=_json(order.capabilities),
        category_ids=_json(order.category_ids),
        hourly_rate_credits=order.hourly_rate_credits,
        key_hash=keys.hash_of(key),
        key_prefix=keys.prefix_of(key),
        now=now_ms,
    )
    assert row is not None, "INSERT … RETURNING gives the row"
    agent_id: int = row["id"]
    secret = None
    if order.webhook_url is not None:
        secret = webhooks.set_profile_url(parts, tx, agent_id, order.webhook_url, now_ms)
    about = f"Agent {agent_id}: {order.name}"
    credits.move(tx, Movement(actor.user_id, rules.NEW_AGENT_BONUS, "bonus", about), now_ms)
    log(tx, "hive.agent_registered", agent=agent_id, operator=actor.user_id)
    return reply.AgentKey(agent=showing.own_agent(_agent(tx, agent_id)), api_key=key, webhook_secret=secret)


def _json(values: Sequence[str] | Sequence[int] | None) -> str:
    return json.dumps(list(values or ()), ensure_ascii=False)


def check_categories(tx: Transaction, category_ids: Sequence[int]) -> None:
    """Raises Refusal(VALIDATION_ERROR) for one that does not exist."""
    for category_id in category_ids:
        if tx.one(q.category, id=category_id) is None:
            raise Refusal(
                Code.VALIDATION_ERROR,
                f"Field 'category_ids': category {category_id} does not exist.",
                "Look at list_categories (GET /categories).",
            )


def _check_room(parts: Parts, tx: Transaction, actor: Actor) -> None:
    tx.one(q.lock_user, id=actor.user_id)
    counted = tx.one(q.count_agents, operator_id=actor.user_id)
    assert counted is not None, "an aggregate has a row"
    limit = parts.settings.hive_agents_max
    if counted["agents"] >= limit:
        raise Refusal(
            Code.MAX_AGENTS,
            f"You have {limit} agents.",
            f"Give one of them another name and key; {limit} are one person's (hive_agents_max).",
        )


def _agent(reader: Reader, agent_id: int) -> Row:
    row = reader.one(q.agent, id=agent_id)
    if row is None:
        raise no_such_agent(agent_id)
    return row


def no_such_agent(agent_id: int) -> Refusal:
    """There is no such agent."""
    return Refusal(
        Code.AGENT_NOT_FOUND, f"Agent {agent_id} does not exist.", "Look at a task's claims, or at list_my_agents."
    )


def get_agent(_parts: Parts, reader: Reader, caller: Caller, order: wire.GetAgent, _now_ms: int) -> reply.AgentShown:
    """Anybody's agent, as anybody sees it."""
    access.anybody(reader, caller)
    return reply.AgentShown(agent=showing.agent(_agent(reader, order.agent_id)))


def me(_parts: Parts, reader: Reader, caller: Caller, _order: wire.AskMe, _now_ms: int) -> reply.OwnAgentShown:
    """The agent that asks."""
    agent_id = access.need_agent(access.actor_of(reader, caller))
    return reply.OwnAgentShown(agent=showing.own_agent(_agent(reader, agent_id)))


def list_my_agents(
    _parts: Parts, reader: Reader, caller: Caller, order: wire.ListMyAgents, _now_ms: int
) -> reply.OwnAgentPage:
    """One page of a person's agents, the oldest first."""
    actor = access.actor_of(reader, caller)
    access.need_person(actor)
    question = f"agents {actor.user_id}"
    [after] = pages.place(order.cursor, question, 0)
    rows = reader.all(q.agents_of_operator, user_id=actor.user_id, id=after, count=pages.lines_of(order.limit) + 1)
    found = pages.page(rows, order.limit, question, showing.own_agent, "id")
    return reply.OwnAgentPage(agents=found.lines, has_more=found.has_more, cursor=found.cursor)


def update_me(parts: Parts, tx: Transaction, caller: Caller, order: wire.UpdateMe, now_ms: int) -> reply.ProfileChanged:
    """Change what the order names; a webhook follows `webhook_url`."""
    agent_id = access.need_agent(access.actor_of(tx, caller))
    tx.one(q.agent_to_decide, id=agent_id)
    row = _agent(tx, agent_id)
    check_categories(tx, order.category_ids or ())
    secret = None
    url = order.webhook_url if isinstance(order.webhook_url, str) else None
    if order.webhook_url is not None and (url is None or not webhooks.profile_works(tx, agent_id, url)):
        secret = webhooks.set_profile_url(parts, tx, agent_id, url, now_ms)
        row = _agent(tx, agent_id)
    rate = order.hourly_rate_credits
    tx.run(
        q.update_agent,
        id=agent_id,
        name=order.name or row["name"],
        description=order.description or row["description"],
        capabilities=row["capabilities"] if order.capabilities is None else _json(order.capabilities),
        category_ids=row["category_ids"] if order.category_ids is None else _json(order.category_ids),
        hourly_rate_credits=row["hourly_rate_credits"] if rate is None else None if rate is CLEARED else rate,
        webhook_url=row["webhook_url"],
        now=now_ms,
    )
    log(tx, "hive.agent_changed", agent=agent_id, what="profile")
    return reply.ProfileChanged(agent=showing.own_agent(_agent(tx, agent_id)), webhook_secret=secret)


def rotate_key(parts: Parts, tx: Transaction, caller: Caller, order: wire.RotateKey, now_ms: int) -> reply.AgentKey:
    """A new key in place of the old one, in one step."""
    _own_agent(tx, caller, order.agent_id)
    key = keys.make_key(parts.random_bytes)
    tx.run(q.set_key, id=order.agent_id, key_hash=keys.hash_of(key), key_prefix=keys.prefix_of(key), now=now_ms)
    log(tx, "hive.key_changed", agent=order.agent_id, what="rotated")
    tx.after(AccountChanged(f"agent:{order.agent_id}"))
    return reply.AgentKey(agent=showing.own_agent(_agent(tx, order.agent_id)), api_key=key)


def revoke_key(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.RevokeKey, now_ms: int
) -> reply.OwnAgentShown:
    """No key lets the agent in any more; harmless when repeated."""
    _own_agent(tx, caller, order.agent_id)
    tx.run(q.set_key, id=order.agent_id, key_hash=None, key_prefix=None, now=now_ms)
    log(tx, "hive.key_changed", agent=order.agent_id, what="revoked")
    tx.after(AccountChanged(f"agent:{order.agent_id}"))
    return reply.OwnAgentShown(agent=showing.own_agent(_agent(tx, order.agent_id)))


def _own_agent(tx: Transaction, caller: Caller, agent_id: int) -> Row:
    """An agent of the person who calls, locked. Raises Refusal."""
    actor = access.actor_of(tx, caller)
    access.need_person(actor)
    row = tx.one(q.agent_to_decide, id=agent_id)
    if row is None:
        raise no_such_agent(agent_id)
    if row["operator_id"] != actor.user_id:
        raise access.forbidden(f"Agent {agent_id} is somebody else's.", "list_my_agents lists yours.")
    return row


def set_agent_status(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.SetAgentStatus, now_ms: int
) -> reply.AgentShown:
    """Its operator's own switch is paused; an admin's is suspended, which only an admin lifts."""
    actor = access.actor_of(tx, caller)
    access.need_person(actor)
    row = tx.one(q.agent_to_decide, id=order.agent_id)
    if row is None:
        raise no_such_agent(order.agent_id)
    _check_switch(actor, row, order.status)
    if order.status != row["status"]:
        tx.run(q.set_agent_status, id=row["id"], status=order.status, expected=row["status"], now=now_ms)
        log(tx, "hive.agent_changed", agent=row["id"], what=order.status, by=actor.user_id)
        tx.after(AccountChanged(f"agent:{row['id']}"))
    return reply.AgentShown(agent=showing.agent(_agent(tx, order.agent_id)))


def _check_switch(actor: Actor, agent: Row, status: str) -> None:
    if "suspended" in (agent["status"], status):
        access.need_admin(actor)
    elif agent["operator_id"] != actor.user_id:
        raise access.forbidden(
            f"Agent {agent['id']} is somebody else's.", "Its operator pauses it and lets it go on; admins suspend."
        )
