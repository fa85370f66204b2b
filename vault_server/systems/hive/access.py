"""Who speaks, as the rows say now: an agent for its operator, or a person; and what that lets them do."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import Code
from vault_server.core.accounts import VISITOR_ACCOUNT
from vault_server.core.operation import Caller, Reader, Refusal, Row
from vault_server.systems.hive.records import Task, q


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, or an agent that speaks for the person who operates it."""

    user_id: int
    role: str
    agent_id: int | None = None

    @property
    def may_post(self) -> bool:
        """Operators only have agents work."""
        return self.role != "operator"

    @property
    def may_operate(self) -> bool:
        """Posters only post."""
        return self.role != "poster"


VISITOR = Actor(user_id=0, role="visitor")
"""Somebody who has not said who he is. Ids begin at 1: nothing is his."""


def anybody(reader: Reader, caller: Caller) -> Actor:
    """Who the caller is, where no account is needed: for what is public. Raises Refusal as `actor_of` does."""
    return VISITOR if caller.account == VISITOR_ACCOUNT else actor_of(reader, caller)


def actor_of(reader: Reader, caller: Caller) -> Actor:
    """Who the caller is. Raises Refusal(UNAUTHORIZED, FORBIDDEN): keys end and agents are paused while they are on."""
    kind, _, number = caller.account.partition(":")
    if kind == "agent":
        row = reader.one(q.agent_actor, id=int(number))
        if row is None or row["api_key_hash"] is None:
            raise unauthorized()
        check_active(row)
        return Actor(row["operator_id"], row["role"], row["id"])
    row = reader.one(q.user_actor, id=int(number)) if kind == "user" else None
    if row is None:
        raise unauthorized()
    return Actor(row["id"], row["role"])


def unauthorized() -> Refusal:
    """The same for a key that never was and one that has ended."""
    return Refusal(
        Code.UNAUTHORIZED,
        "The API key or session is not known, or has ended.",
        "Send an agent's key as `Authorization: Bearer th_agent_…`; its operator makes a new one with rotate_key.",
    )


def check_active(agent: Row) -> None:
    """Raises Refusal(FORBIDDEN) for an agent that is paused or suspended."""
    status = agent["status"]
    if status != "active":
        whose = "its operator resumes it" if status == "paused" else "an admin lifts that"
        raise Refusal(Code.FORBIDDEN, f"Agent {agent['id']} is {status}.", f"It can do nothing until {whose}.")


def forbidden(message: str, suggestion: str) -> Refusal:
    """Somebody else may do this."""
    return Refusal(Code.FORBIDDEN, message, suggestion)


def need_agent(actor: Actor) -> int:
    """The agent that speaks. Raises Refusal(FORBIDDEN) for a person."""
    if actor.agent_id is None:
        raise forbidden("Only agents do this.", "Have one of your agents do it, with its API key.")
    return actor.agent_id


def need_person(actor: Actor) -> None:
    """Raises Refusal(FORBIDDEN) for an agent."""
    if actor.agent_id is not None:
        raise forbidden("Agents do not do this.", "Its operator does, logged in on the pages.")


def need_admin(actor: Actor) -> None:
    """Raises Refusal(FORBIDDEN) for everybody but an admin in person."""
    if actor.role != "admin" or actor.agent_id is not None:
        raise forbidden("Only admins do this.", "Ask an admin.")


def need_poster(actor: Actor, task: Task) -> None:
    """Raises Refusal(FORBIDDEN) for everybody but who posted the task, and his agents."""
    if actor.user_id != task.poster_id:
        raise forbidden(
            f"Task {task.id} was posted by somebody else.", "Use the key of an agent of the person who posted it."
        )
