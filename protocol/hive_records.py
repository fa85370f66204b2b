"""What the hive shows of its entities (seed 002): the seed's names, and what follows from other rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from protocol.fields import INTEGER_MAX, Choice, Flag, Number, Text
from protocol.hive_fields import Amount, Email, Instant, Link, ListOf, One, Prose, Work
from protocol.records import Record, record

LINES_MAX = 100
"""Lines of one page."""

TASK_STATUSES = ("open", "claimed", "in_progress", "delivered", "completed", "disputed", "cancelled")
CLAIM_STATUSES = ("pending", "accepted", "rejected", "withdrawn")
DELIVERABLE_STATUSES = ("submitted", "accepted", "rejected", "revision_requested")
AGENT_STATUSES = ("active", "paused", "suspended")
ROLES = ("poster", "operator", "both", "admin")
TRANSACTION_TYPES = ("deposit", "bonus", "payment", "platform_fee", "refund")
OUTCOMES = ("agent", "poster")
EVENTS = (
    "task.new_match", "claim.created", "claim.accepted", "claim.rejected", "claim.withdrawn", "deliverable.submitted",
    "deliverable.accepted", "deliverable.revision_requested", "task.cancelled", "task.disputed", "dispute.resolved",
    "review.created",
)  # fmt: skip
"""What sockets are pushed and webhooks are sent."""

ID = Amount(minimum=1)
INSTANT = Instant()
CREDITS_MAX = 1_000_000_000
BUDGET = Amount(10, CREDITS_MAX)
CREDITS = Amount(1, CREDITS_MAX)
BALANCE = Amount()
AMOUNT = Amount(minimum=-INTEGER_MAX)
COUNT = Amount()
TITLE = Prose(200, 5, is_line=True)
DESCRIPTION = Prose(5000, 20)
REQUIREMENTS = Prose(5000)
REVISIONS = Amount(0, 5)
PITCH = Prose(1000)
CONTENT = Work(50_000)
NOTES = Prose(5000)
STARS = Amount(1, 5)
COMMENT = Prose(2000)
NAME = Prose(100, is_line=True)
AGENT_DESCRIPTION = Prose(2000)
BIO = Prose(2000)
CAPABILITIES = ListOf(Prose(50, is_line=True), 20)
CATEGORY_IDS = ListOf(ID, 20)
RATE = Amount(0, CREDITS_MAX)
WORKS_ON = ListOf(Choice(EVENTS), len(EVENTS), 1)
SCORE = Number(maximum=100.0)
RATING = Number(1.0, 5.0)


@record
class Category(Record):
    """What a task is about."""

    id: Annotated[int, ID]
    name: Annotated[str, Text(100)]
    slug: Annotated[str, Text(100)]
    sort_order: Annotated[int, Amount()]
    description: Annotated[str, Text(500)] | None = None
    icon: Annotated[str, Text(20)] | None = None


@record
class CategoryName(Record):
    """A category in a task."""

    id: Annotated[int, ID]
    name: Annotated[str, Text(100)]
    slug: Annotated[str, Text(100)]


@record
class Person(Record):
    """A user, as others see him."""

    id: Annotated[int, ID]
    name: Annotated[str, NAME]


@record
class Poster(Record):
    """Who posted a task, and what became of his others."""

    id: Annotated[int, ID]
    name: Annotated[str, NAME]
    tasks_posted: Annotated[int, COUNT]
    tasks_completed: Annotated[int, COUNT]
    tasks_disputed: Annotated[int, COUNT]


@record
class TaskLine(Record):
    """A task in a list. `claims_count` counts the pending ones and the accepted one."""

    id: Annotated[int, ID]
    title: Annotated[str, TITLE]
    description: Annotated[str, DESCRIPTION]
    budget_credits: Annotated[int, BUDGET]
    status: Annotated[str, Choice(TASK_STATUSES)]
    poster: Annotated[Person, One(Person)]
    claims_count: Annotated[int, COUNT]
    max_revisions: Annotated[int, REVISIONS]
    created_at: Annotated[int, INSTANT]
    category: Annotated[CategoryName, One(CategoryName)] | None = None
    deadline: Annotated[int, INSTANT] | None = None


@record
class Dispute(Record):
    """Why a task is disputed, and what an admin made of it."""

    kind: Annotated[str, Choice(("reject", "dispute"))]
    reason: Annotated[str, NOTES]
    deliverable_id: Annotated[int, ID]
    created_at: Annotated[int, INSTANT]
    outcome: Annotated[str, Choice(OUTCOMES)] | None = None
    note: Annotated[str, NOTES] | None = None
    resolved_at: Annotated[int, INSTANT] | None = None


@record
class Review(Record):
    """What a poster thinks of an agent's work."""

    id: Annotated[int, ID]
    task_id: Annotated[int, ID]
    reviewer_id: Annotated[int, ID]
    agent_id: Annotated[int, ID]
    rating: Annotated[int, STARS]
    created_at: Annotated[int, INSTANT]
    quality_score: Annotated[int, STARS] | None = None
    speed_score: Annotated[int, STARS] | None = None
    comment: Annotated[str, COMMENT] | None = None


@record
class Task(Record):
    """A task, whole.

    `agreed_credits` is what the accepted claim asks for; `is_self_dealt`: poster and agent are the same person's, so
    that it moves no reputation. `dispute` is shown to its poster, its agent and admins.
    """

    id: Annotated[int, ID]
    poster_id: Annotated[int, ID]
    title: Annotated[str, TITLE]
    description: Annotated[str, DESCRIPTION]
    budget_credits: Annotated[int, BUDGET]
    status: Annotated[str, Choice(TASK_STATUSES)]
    poster: Annotated[Poster, One(Poster)]
    claims_count: Annotated[int, COUNT]
    max_revisions: Annotated[int, REVISIONS]
    is_self_dealt: Annotated[bool, Flag()]
    created_at: Annotated[int, INSTANT]
    updated_at: Annotated[int, INSTANT]
    requirements: Annotated[str, REQUIREMENTS] | None = None
    category_id: Annotated[int, ID] | None = None
    category: Annotated[CategoryName, One(CategoryName)] | None = None
    claimed_by_agent_id: Annotated[int, ID] | None = None
    posted_by_agent_id: Annotated[int, ID] | None = None
    agreed_credits: Annotated[int, CREDITS] | None = None
    deadline: Annotated[int, INSTANT] | None = None
    dispute: Annotated[Dispute, One(Dispute)] | None = None
    review: Annotated[Review, One(Review)] | None = None


@record
class Claim(Record):
    """An agent's bid."""

    id: Annotated[int, ID]
    task_id: Annotated[int, ID]
    agent_id: Annotated[int, ID]
    proposed_credits: Annotated[int, CREDITS]
    status: Annotated[str, Choice(CLAIM_STATUSES)]
    created_at: Annotated[int, INSTANT]
    message: Annotated[str, PITCH] | None = None
    agent_name: Annotated[str, NAME] | None = None
    task_title: Annotated[str, TITLE] | None = None


@record
class Deliverable(Record):
    """What an agent has handed in; `is_late`: after the task's deadline."""

    id: Annotated[int, ID]
    task_id: Annotated[int, ID]
    agent_id: Annotated[int, ID]
    content: Annotated[str, CONTENT]
    status: Annotated[str, Choice(DELIVERABLE_STATUSES)]
    revision_number: Annotated[int, Amount(1, 6)]
    submitted_at: Annotated[int, INSTANT]
    is_late: Annotated[bool, Flag()]
    revision_notes: Annotated[str, NOTES] | None = None


@record
class Agent(Record):
    """An agent, as anybody sees it; `is_new` until its reputation is counted from its work."""

    id: Annotated[int, ID]
    name: Annotated[str, NAME]
    description: Annotated[str, AGENT_DESCRIPTION]
    capabilities: Annotated[Sequence[str], CAPABILITIES]
    category_ids: Annotated[Sequence[int], CATEGORY_IDS]
    status: Annotated[str, Choice(AGENT_STATUSES)]
    reputation_score: Annotated[float, SCORE]
    is_new: Annotated[bool, Flag()]
    tasks_completed: Annotated[int, COUNT]
    operator: Annotated[Person, One(Person)]
    created_at: Annotated[int, INSTANT]
    hourly_rate_credits: Annotated[int, RATE] | None = None
    avg_rating: Annotated[float, RATING] | None = None


@record
class OwnAgent(Record):
    """An agent, as itself and its operator see it."""

    id: Annotated[int, ID]
    name: Annotated[str, NAME]
    description: Annotated[str, AGENT_DESCRIPTION]
    capabilities: Annotated[Sequence[str], CAPABILITIES]
    category_ids: Annotated[Sequence[int], CATEGORY_IDS]
    status: Annotated[str, Choice(AGENT_STATUSES)]
    reputation_score: Annotated[float, SCORE]
    is_new: Annotated[bool, Flag()]
    tasks_completed: Annotated[int, COUNT]
    operator: Annotated[Person, One(Person)]
    created_at: Annotated[int, INSTANT]
    updated_at: Annotated[int, INSTANT]
    hourly_rate_credits: Annotated[int, RATE] | None = None
    avg_rating: Annotated[float, RATING] | None = None
    api_key_prefix: Annotated[str, Text(14)] | None = None
    webhook_url: Annotated[str, Link()] | None = None


@record
class Account(Record):
    """A user, as he sees himself."""

    id: Annotated[int, ID]
    email: Annotated[str, Email()]
    name: Annotated[str, NAME]
    role: Annotated[str, Choice(ROLES)]
    credit_balance: Annotated[int, BALANCE]
    created_at: Annotated[int, INSTANT]
    updated_at: Annotated[int, INSTANT]
    avatar_url: Annotated[str, Link()] | None = None
    bio: Annotated[str, BIO] | None = None


@record
class CreditTransaction(Record):
    """One movement of somebody's credits."""

    id: Annotated[int, ID]
    amount: Annotated[int, AMOUNT]
    type: Annotated[str, Choice(TRANSACTION_TYPES)]
    balance_after: Annotated[int, BALANCE]
    created_at: Annotated[int, INSTANT]
    task_id: Annotated[int, ID] | None = None
    counterparty_id: Annotated[int, ID] | None = None
    description: Annotated[str, Text(500)] | None = None


@record
class Webhook(Record):
    """Where an agent's events are sent; of the secret only its beginning is shown."""

    id: Annotated[int, ID]
    url: Annotated[str, Link()]
    events: Annotated[Sequence[str], ListOf(Choice(EVENTS), len(EVENTS))]
    is_active: Annotated[bool, Flag()]
    failure_count: Annotated[int, COUNT]
    secret_prefix: Annotated[str, Text(8)]
    is_profile: Annotated[bool, Flag()]
    created_at: Annotated[int, INSTANT]
    last_triggered_at: Annotated[int, INSTANT] | None = None


@record
class BulkResult(Record):
    """What became of one claim of several."""

    task_id: Annotated[int, ID]
    ok: Annotated[bool, Flag()]
    claim: Annotated[Claim, One(Claim)] | None = None
    code: Annotated[str, Text(64)] | None = None
    message: Annotated[str, Text(1000)] | None = None
    suggestion: Annotated[str, Text(1000)] | None = None


@record
class BulkSummary(Record):
    """How many of several claims were made."""

    succeeded: Annotated[int, COUNT]
    failed: Annotated[int, COUNT]
    total: Annotated[int, COUNT]


@record
class BulkClaim(Record):
    """One claim of several."""

    task_id: Annotated[int, ID]
    proposed_credits: Annotated[int, CREDITS]
    message: Annotated[str, PITCH] | None = None
