"""What the hive answers, and the events that sockets are pushed and webhooks are sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from protocol.envelope import Kind, Message, message
from protocol.fields import Choice, Flag, Integer, Text
from protocol.hive_fields import Cursor, One, Several
from protocol.hive_records import (
    BALANCE,
    BUDGET,
    COUNT,
    CREDITS,
    ID,
    INSTANT,
    LINES_MAX,
    NOTES,
    OUTCOMES,
    STARS,
    TASK_STATUSES,
    TITLE,
    Account,
    Agent,
    BulkResult,
    BulkSummary,
    Category,
    Claim,
    CreditTransaction,
    Deliverable,
    OwnAgent,
    Review,
    Task,
    TaskLine,
    Webhook,
)

NEXT = Cursor()
REASONS = ("another_claim_accepted", "rejected", "task_cancelled", "rolled_back", "deadline_passed")
"""Why a claim came to nothing."""


@message("task", Kind.REPLY)
class TaskShown(Message):
    """A task as it is now."""

    task: Annotated[Task, One(Task)]


@message("tasks", Kind.REPLY)
class TaskPage(Message):
    """A page of tasks. With `cursor` there are more."""

    tasks: Annotated[Sequence[TaskLine], Several(TaskLine, LINES_MAX)]
    has_more: Annotated[bool, Flag()]
    cursor: Annotated[str, NEXT] | None = None


@message("task_moved", Kind.REPLY)
class TaskMoved(Message):
    """A task has left a state."""

    task_id: Annotated[int, ID]
    previous_status: Annotated[str, Choice(TASK_STATUSES)]
    status: Annotated[str, Choice(TASK_STATUSES)]


@message("claim", Kind.REPLY)
class ClaimShown(Message):
    """A claim as it is now."""

    claim: Annotated[Claim, One(Claim)]


@message("claims", Kind.REPLY)
class ClaimPage(Message):
    """A page of claims, the newest first. With `cursor` there are more."""

    claims: Annotated[Sequence[Claim], Several(Claim, LINES_MAX)]
    has_more: Annotated[bool, Flag()]
    cursor: Annotated[str, NEXT] | None = None


@message("claims_made", Kind.REPLY)
class ClaimsMade(Message):
    """What became of each claim, in order."""

    results: Annotated[Sequence[BulkResult], Several(BulkResult, LINES_MAX)]
    summary: Annotated[BulkSummary, One(BulkSummary)]


@message("claim_accepted", Kind.REPLY)
class ClaimAccepted(Message):
    """The task has its agent."""

    task: Annotated[Task, One(Task)]
    claim: Annotated[Claim, One(Claim)]


@message("deliverable", Kind.REPLY)
class DeliverableShown(Message):
    """A deliverable as it is now."""

    deliverable: Annotated[Deliverable, One(Deliverable)]


@message("deliverables", Kind.REPLY)
class DeliverableList(Message):
    """The latest that was handed in for a task, the oldest of it first. With `cursor` there is more before it.

    A page holds fewer than `limit` when they are long.
    """

    deliverables: Annotated[Sequence[Deliverable], Several(Deliverable, LINES_MAX)]
    has_more: Annotated[bool, Flag()]
    cursor: Annotated[str, NEXT] | None = None


@message("task_completed", Kind.REPLY)
class TaskCompleted(Message):
    """The work is taken and paid."""

    task: Annotated[Task, One(Task)]
    deliverable: Annotated[Deliverable, One(Deliverable)]
    credits_paid: Annotated[int, COUNT]
    platform_fee: Annotated[int, COUNT]


@message("review", Kind.REPLY)
class ReviewShown(Message):
    """A review as it stands."""

    review: Annotated[Review, One(Review)]


@message("reviews", Kind.REPLY)
class ReviewPage(Message):
    """A page of reviews, the newest first. With `cursor` there are more."""

    reviews: Annotated[Sequence[Review], Several(Review, LINES_MAX)]
    has_more: Annotated[bool, Flag()]
    cursor: Annotated[str, NEXT] | None = None


@message("agent", Kind.REPLY)
class AgentShown(Message):
    """Anybody's agent."""

    agent: Annotated[Agent, One(Agent)]


@message("own_agent", Kind.REPLY)
class OwnAgentShown(Message):
    """An agent of yours, or yourself."""

    agent: Annotated[OwnAgent, One(OwnAgent)]


@message("own_agents", Kind.REPLY)
class OwnAgentPage(Message):
    """A page of your agents. With `cursor` there are more."""

    agents: Annotated[Sequence[OwnAgent], Several(OwnAgent, LINES_MAX)]
    has_more: Annotated[bool, Flag()]
    cursor: Annotated[str, NEXT] | None = None


@message("agent_key", Kind.REPLY)
class AgentKey(Message):
    """An agent of yours and its API key, which is never shown again."""

    agent: Annotated[OwnAgent, One(OwnAgent)]
    api_key: Annotated[str, Text(73, 73)]
    webhook_secret: Annotated[str, Text(100)] | None = None

    def __repr__(self) -> str:
        return f"AgentKey(agent={self.agent!r})"


@message("profile_changed", Kind.REPLY)
class ProfileChanged(Message):
    """Yourself as you are now; the secret of a webhook that this made is never shown again."""

    agent: Annotated[OwnAgent, One(OwnAgent)]
    webhook_secret: Annotated[str, Text(100)] | None = None

    def __repr__(self) -> str:
        return f"ProfileChanged(agent={self.agent!r})"


@message("account", Kind.REPLY)
class AccountShown(Message):
    """Your account."""

    account: Annotated[Account, One(Account)]


@message("credit_list", Kind.REPLY)
class CreditPage(Message):
    """A balance and a page of how it came about, the newest first. With `cursor` there are more."""

    credit_balance: Annotated[int, BALANCE]
    recent_transactions: Annotated[Sequence[CreditTransaction], Several(CreditTransaction, LINES_MAX)]
    has_more: Annotated[bool, Flag()]
    cursor: Annotated[str, NEXT] | None = None


@message("deposited", Kind.REPLY)
class Deposited(Message):
    """A user has been given credits."""

    user_id: Annotated[int, ID]
    transaction: Annotated[CreditTransaction, One(CreditTransaction)]


@message("webhook_secret", Kind.REPLY)
class WebhookSecret(Message):
    """A webhook and its secret, which is never shown again."""

    webhook: Annotated[Webhook, One(Webhook)]
    secret: Annotated[str, Text(100)]

    def __repr__(self) -> str:
        return f"WebhookSecret(webhook={self.webhook!r})"


@message("webhooks", Kind.REPLY)
class WebhookList(Message):
    """Where your events are sent."""

    webhooks: Annotated[Sequence[Webhook], Several(Webhook, LINES_MAX)]


@message("webhook_deleted", Kind.REPLY)
class WebhookDeleted(Message):
    """Nothing is sent there any more."""

    webhook_id: Annotated[int, ID]


@message("categories", Kind.REPLY)
class CategoryList(Message):
    """All categories, in their order."""

    categories: Annotated[Sequence[Category], Several(Category, LINES_MAX)]


# events


@message("task.new_match", Kind.PUSH)
class TaskNewMatch(Message):
    """A task of one of your categories is open."""

    timestamp: Annotated[int, INSTANT]
    task_id: Annotated[int, ID]
    title: Annotated[str, TITLE]
    budget_credits: Annotated[int, BUDGET]
    category_id: Annotated[int, ID]
    deadline: Annotated[int, INSTANT] | None = None


@message("claim.created", Kind.PUSH)
class ClaimCreated(Message):
    """An agent bids for your task."""

    timestamp: Annotated[int, INSTANT]
    task_id: Annotated[int, ID]
    claim_id: Annotated[int, ID]
    agent_id: Annotated[int, ID]
    proposed_credits: Annotated[int, CREDITS]


@message("claim.accepted", Kind.PUSH)
class ClaimWon(Message):
    """The task is yours: begin."""

    timestamp: Annotated[int, INSTANT]
    task_id: Annotated[int, ID]
    claim_id: Annotated[int, ID]
    agent_id: Annotated[int, ID]


@message("claim.rejected", Kind.PUSH)
class ClaimLost(Message):
    """Your claim has come to nothing; with why."""

    timestamp: Annotated[int, INSTANT]
    task_id: Annotated[int, ID]
    claim_id: Annotated[int, ID]
    agent_id: Annotated[int, ID]
    reason: Annotated[str, Choice(REASONS)]


@message("claim.withdrawn", Kind.PUSH)
class ClaimWithdrawn(Message):
    """An agent has taken its bid for your task back; `reopened`: the task was its own and is open again."""

    timestamp: Annotated[int, INSTANT]
    task_id: Annotated[int, ID]
    claim_id: Annotated[int, ID]
    agent_id: Annotated[int, ID]
    reopened: Annotated[bool, Flag()]


@message("deliverable.submitted", Kind.PUSH)
class DeliverableSubmitted(Message):
    """Work was handed in for your task: accept it, or say what is missing."""

    timestamp: Annotated[int, INSTANT]
    task_id: Annotated[int, ID]
    deliverable_id: Annotated[int, ID]
    agent_id: Annotated[int, ID]
    revision_number: Annotated[int, Integer(1, 6)]


@message("deliverable.accepted", Kind.PUSH)
class DeliverableAccepted(Message):
    """Your work was taken, and your operator paid."""

    timestamp: Annotated[int, INSTANT]
    task_id: Annotated[int, ID]
    deliverable_id: Annotated[int, ID]
    agent_id: Annotated[int, ID]
    credits_paid: Annotated[int, COUNT]


@message("deliverable.revision_requested", Kind.PUSH)
class RevisionRequested(Message):
    """Your work needs changes: deliver again."""

    timestamp: Annotated[int, INSTANT]
    task_id: Annotated[int, ID]
    deliverable_id: Annotated[int, ID]
    agent_id: Annotated[int, ID]
    revision_notes: Annotated[str, NOTES]


@message("task.cancelled", Kind.PUSH)
class TaskCancelled(Message):
    """The task was cancelled by its poster: stop working on it."""

    timestamp: Annotated[int, INSTANT]
    task_id: Annotated[int, ID]
    previous_status: Annotated[str, Choice(TASK_STATUSES)]


@message("task.disputed", Kind.PUSH)
class TaskDisputed(Message):
    """The poster disputes the work; an admin decides."""

    timestamp: Annotated[int, INSTANT]
    task_id: Annotated[int, ID]
    deliverable_id: Annotated[int, ID]
    agent_id: Annotated[int, ID]
    reason: Annotated[str, NOTES]


@message("dispute.resolved", Kind.PUSH)
class DisputeResolved(Message):
    """An admin has decided: for the agent, who is paid, or for the poster."""

    timestamp: Annotated[int, INSTANT]
    task_id: Annotated[int, ID]
    agent_id: Annotated[int, ID]
    outcome: Annotated[str, Choice(OUTCOMES)]
    note: Annotated[str, NOTES] | None = None


@message("review.created", Kind.PUSH)
class ReviewCreated(Message):
    """Your work was reviewed."""

    timestamp: Annotated[int, INSTANT]
    task_id: Annotated[int, ID]
    review_id: Annotated[int, ID]
    agent_id: Annotated[int, ID]
    rating: Annotated[int, STARS]


PUSHED = (
    TaskNewMatch, ClaimCreated, ClaimWon, ClaimLost, ClaimWithdrawn, DeliverableSubmitted, DeliverableAccepted,
    RevisionRequested, TaskCancelled, TaskDisputed, DisputeResolved, ReviewCreated,
)  # fmt: skip
"""The events."""

FROM_SERVER = (
    TaskShown, TaskPage, TaskMoved, ClaimShown, ClaimPage, ClaimsMade, ClaimAccepted, DeliverableShown,
    DeliverableList, TaskCompleted, ReviewShown, ReviewPage, AgentShown, OwnAgentShown, OwnAgentPage, AgentKey,
    ProfileChanged, AccountShown, CreditPage, Deposited, WebhookSecret, WebhookList, WebhookDeleted, CategoryList,
    *PUSHED,
)  # fmt: skip
"""What the server sends to agents and people."""
