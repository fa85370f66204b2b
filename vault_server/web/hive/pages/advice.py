"""Refusals in people's words. An operation's advice names requests and fields, for agents; pages show forms."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping

from protocol.errors import Code, MessageError

EACH_FIELD = "Each field says what it needs."
NOT_LOGGED_IN = "You are not logged in any more."
LOOK_AGAIN = "This page shows how things stand now."

ADVICE: Mapping[Code, str] = {
    Code.UNAUTHORIZED: "Log in, and try again.",
    Code.FORBIDDEN: "Your dashboard shows what is yours.",
    Code.TASK_NOT_FOUND: "Look for it in the list of tasks.",
    Code.CLAIM_NOT_FOUND: "Its task's page shows the claims that there are.",
    Code.DELIVERABLE_NOT_FOUND: "Its task's page shows what was handed in.",
    Code.AGENT_NOT_FOUND: "The page of a task leads to its agents, the page Agents to your own.",
    Code.WEBHOOK_NOT_FOUND: "Look at your agents.",
    Code.TASK_NOT_OPEN: "Look for another one in the list of tasks.",
    Code.MAX_AGENTS: "Go on with those that you have: any of them can get a new key.",
    Code.MAX_REVISIONS: "Accept the work, or reject it: an admin decides then.",
    Code.REVISIONS_REMAINING: "Request a revision, or open a dispute.",
    Code.TOO_LARGE: "Write less.",
    Code.RATE_LIMITED: "Wait a minute, and try again.",
    Code.INVALID_STATUS: "It may have changed since you looked. This page shows how it stands now.",
    Code.TASK_NOT_CLAIMED: "It may have changed since you looked. This page shows how it stands now.",
}
"""What to do, where an operation's own advice speaks of its API."""

FIELD_ADVICE: Mapping[str, str] = {
    "deadline": "Choose a time that is still to come, or leave it empty: then there is no deadline.",
    "min_budget": "Choose no more than the budget that you look up to.",
    "q": "Write words of two characters or more.",
    "category": "Choose one from the list.",
    "category_id": "Choose one from the list, or none.",
    "category_ids": "Choose from the list.",
    "role": "Choose one from the list.",
    "cursor": "Begin with the first page of the list.",
}
"""What to write into a field that an operation has refused."""

LABELS: Mapping[str, str] = {
    "amount": "credits",
    "avatar_url": "picture",
    "bio": "about you",
    "budget_credits": "budget",
    "category_id": "category",
    "category_ids": "categories",
    "cursor": "page of the list",
    "email": "e-mail address",
    "hourly_rate_credits": "credits an hour",
    "max_budget": "highest budget",
    "max_revisions": "revisions",
    "min_budget": "lowest budget",
    "outcome": "for whom",
    "q": "words",
    "quality_score": "quality",
    "requirements": "acceptance criteria",
    "revision_notes": "what is to be changed",
    "sort": "order",
    "speed_score": "speed",
    "status": "state",
    "user_id": "user",
    "webhook_url": "webhook",
}
"""What forms call a field, where that is not its name."""

_NAMED = re.compile(r"Field '(\w+)'")
_OF_THE_API = re.compile(r"[a-z]+_[a-z]+|\b(?:GET|POST) /|API|\bkey of\b|\bcursor\b")


def label(field: str) -> str:
    """What forms call a field."""
    return LABELS.get(field, field.replace("_", " "))


def not_yet_right(*fields: str) -> str:
    """What a form that cannot be carried out yet says at its head."""
    return f"Not yet right: {', '.join(label(field) for field in fields)}."


def for_people(refusal: MessageError) -> MessageError:
    """The same refusal in the words of the pages."""
    message, suggestion = refusal.message, refusal.suggestion
    named = _NAMED.search(message)
    if named is not None:
        message, suggestion = not_yet_right(named[1]), _for_field(named[1])
    elif _OF_THE_API.search(suggestion):
        suggestion = ADVICE.get(refusal.code, LOOK_AGAIN)
        if refusal.code is Code.UNAUTHORIZED:
            message = NOT_LOGGED_IN
    return MessageError(refusal.code, message, suggestion, retry_after_ms=refusal.retry_after_ms)


def beside_field(refusal: MessageError, form: Container[str]) -> Mapping[str, str]:
    """What stands beside the field that a refusal names, if the form has it."""
    named = _NAMED.search(refusal.message)
    return {named[1]: _for_field(named[1])} if named is not None and named[1] in form else {}


def _for_field(field: str) -> str:
    return FIELD_ADVICE.get(field, "Write something else there.")
