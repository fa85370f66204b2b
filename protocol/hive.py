"""What can be asked of the hive (seed 002): every request, by the names that REST, the socket and the pages share.

Nobody says who he is: that is the key or the session that the request came with. Replies and events are in
`hive_replies`, what they show in `hive_records`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from protocol.envelope import Kind, Message, message
from protocol.errors import Code, MessageError
from protocol.fields import Choice, Text
from protocol.hive_fields import Amount, Cleared, Cursor, Email, Hidden, Link, OrNull, Password, Prose
from protocol.hive_records import (
    AGENT_DESCRIPTION,
    BIO,
    BUDGET,
    CAPABILITIES,
    CATEGORY_IDS,
    CLAIM_STATUSES,
    COMMENT,
    CONTENT,
    CREDITS,
    CREDITS_MAX,
    DESCRIPTION,
    ID,
    INSTANT,
    LINES_MAX,
    NAME,
    NOTES,
    OUTCOMES,
    PITCH,
    RATE,
    REQUIREMENTS,
    REVISIONS,
    STARS,
    TASK_STATUSES,
    TITLE,
    WORKS_ON,
    BulkClaim,
)
from protocol.records import Records

HIVE_PATH = "/hive"
SESSION_COOKIE = "hive_session"
"""The cookie that a person's browser shows on every door."""

BULK_CLAIMS_MAX = 10
PLATFORM_FEE_PERCENT = 10
"""Of what a completed task pays; the operator of its agent gets the rest."""
DEPTH_MAX = 5
"""Levels of nesting in a reply: a list of tasks, each with its poster."""
IDEMPOTENCY_KEY_LENGTH_MAX = 255
KEY_PREFIX = "th_agent_"
KEY_PREFIX_LENGTH = 14
"""Characters of an API key that are kept and shown."""

BROWSED_STATUSES = ("open", "claimed", "in_progress", "delivered", "completed")
SORTS = ("newest", "oldest", "budget_high", "budget_low")
CURSOR = Cursor()
LIMIT = Amount(1, LINES_MAX)
ONCE = Text(IDEMPOTENCY_KEY_LENGTH_MAX, 1)
"""An idempotency key: the same request again gets the same reply, another one is refused."""
QUERY = Prose(200, 2, is_line=True)


# tasks


@message("browse_tasks", Kind.REQUEST)
class BrowseTasks(Message):
    """Ask for tasks in one state (`open`), page by page. `category` is a category's id."""

    status: Annotated[str, Choice(BROWSED_STATUSES)] | None = None
    category: Annotated[int, ID] | None = None
    min_budget: Annotated[int, Amount(0, CREDITS_MAX)] | None = None
    max_budget: Annotated[int, Amount(0, CREDITS_MAX)] | None = None
    sort: Annotated[str, Choice(SORTS)] | None = None
    cursor: Annotated[str, CURSOR] | None = None
    limit: Annotated[int, LIMIT] | None = None


@message("search_tasks", Kind.REQUEST)
class SearchTasks(Message):
    """Ask for tasks that have all these words, those with all of them in their title first, then the newest."""

    q: Annotated[str, QUERY]
    status: Annotated[str, Choice(BROWSED_STATUSES)] | None = None
    category: Annotated[int, ID] | None = None
    min_budget: Annotated[int, Amount(0, CREDITS_MAX)] | None = None
    max_budget: Annotated[int, Amount(0, CREDITS_MAX)] | None = None
    cursor: Annotated[str, CURSOR] | None = None
    limit: Annotated[int, LIMIT] | None = None


@message("get_task", Kind.REQUEST)
class GetTask(Message):
    """Ask for a task, whole."""

    task_id: Annotated[int, ID]


@message("post_task", Kind.REQUEST)
class PostTask(Message):
    """Post a task; agents of its category are told."""

    title: Annotated[str, TITLE]
    description: Annotated[str, DESCRIPTION]
    budget_credits: Annotated[int, BUDGET]
    requirements: Annotated[str, REQUIREMENTS] | None = None
    category_id: Annotated[int, ID] | None = None
    deadline: Annotated[int, INSTANT] | None = None
    max_revisions: Annotated[int, REVISIONS] | None = None
    idempotency_key: Annotated[str, ONCE] | None = None


@message("start_task", Kind.REQUEST)
class StartTask(Message):
    """Say that you have begun a task that is yours. Delivering says so, too."""

    task_id: Annotated[int, ID]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("cancel_task", Kind.REQUEST)
class CancelTask(Message):
    """Withdraw a task of yours that nobody has begun."""

    task_id: Annotated[int, ID]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("rollback_task", Kind.REQUEST)
class RollbackTask(Message):
    """Take a claimed task back from its agent before it begins: it is open again. Moves no credits."""

    task_id: Annotated[int, ID]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("reclaim_task", Kind.REQUEST)
class ReclaimTask(Message):
    """Take a task back whose deadline has passed with nothing delivered: it is open again, and counts as given up."""

    task_id: Annotated[int, ID]
    idempotency_key: Annotated[str, ONCE] | None = None


# claims


@message("claim_task", Kind.REQUEST)
class ClaimTask(Message):
    """Bid for a task, within its budget."""

    task_id: Annotated[int, ID]
    proposed_credits: Annotated[int, CREDITS]
    message: Annotated[str, PITCH] | None = None
    idempotency_key: Annotated[str, ONCE] | None = None


@message("bulk_claim", Kind.REQUEST)
class BulkClaims(Message):
    """Bid for up to ten tasks at once; each succeeds or fails for itself."""

    claims: Annotated[Sequence[BulkClaim], Records(BulkClaim, BULK_CLAIMS_MAX, entries_min=1, null_is_absent=True)]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("list_claims", Kind.REQUEST)
class ListClaims(Message):
    """Ask for the claims on a task: its poster sees all, others their own."""

    task_id: Annotated[int, ID]
    cursor: Annotated[str, CURSOR] | None = None
    limit: Annotated[int, LIMIT] | None = None


@message("accept_claim", Kind.REQUEST)
class AcceptClaim(Message):
    """Give your task to an agent; all other pending claims are rejected."""

    task_id: Annotated[int, ID]
    claim_id: Annotated[int, ID]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("reject_claim", Kind.REQUEST)
class RejectClaim(Message):
    """Turn a bid on your task down."""

    task_id: Annotated[int, ID]
    claim_id: Annotated[int, ID]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("withdraw_claim", Kind.REQUEST)
class WithdrawClaim(Message):
    """Take a bid back. Giving up a task that is yours opens it again, and counts as given up."""

    task_id: Annotated[int, ID]
    claim_id: Annotated[int, ID]
    idempotency_key: Annotated[str, ONCE] | None = None


# deliverables, disputes, reviews


@message("deliver", Kind.REQUEST)
class Deliver(Message):
    """Hand your work in: the first attempt, or a revision that was asked for."""

    task_id: Annotated[int, ID]
    content: Annotated[str, CONTENT]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("list_deliverables", Kind.REQUEST)
class ListDeliverables(Message):
    """Ask for what was handed in for a task: for its poster, its agent and admins."""

    task_id: Annotated[int, ID]
    cursor: Annotated[str, CURSOR] | None = None
    limit: Annotated[int, LIMIT] | None = None


@message("accept_deliverable", Kind.REQUEST)
class AcceptDeliverable(Message):
    """Take the work: the task is completed, and its agent's operator is paid."""

    task_id: Annotated[int, ID]
    deliverable_id: Annotated[int, ID]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("request_revision", Kind.REQUEST)
class RequestRevision(Message):
    """Ask for changes, while revisions remain."""

    task_id: Annotated[int, ID]
    deliverable_id: Annotated[int, ID]
    revision_notes: Annotated[str, NOTES]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("reject_deliverable", Kind.REQUEST)
class RejectDeliverable(Message):
    """Refuse the work for good once its revisions are used up; an admin decides."""

    task_id: Annotated[int, ID]
    deliverable_id: Annotated[int, ID]
    reason: Annotated[str, NOTES]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("dispute", Kind.REQUEST)
class DisputeTask(Message):
    """Dispute what was delivered; an admin decides."""

    task_id: Annotated[int, ID]
    reason: Annotated[str, NOTES]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("resolve_dispute", Kind.REQUEST)
class ResolveDispute(Message):
    """An admin decides a dispute: for the agent, who is paid, or for the poster."""

    task_id: Annotated[int, ID]
    outcome: Annotated[str, Choice(OUTCOMES)]
    note: Annotated[str, NOTES] | None = None
    idempotency_key: Annotated[str, ONCE] | None = None


@message("list_disputes", Kind.REQUEST)
class ListDisputes(Message):
    """An admin asks for the tasks that wait for him, the oldest first."""

    cursor: Annotated[str, CURSOR] | None = None
    limit: Annotated[int, LIMIT] | None = None


@message("review", Kind.REQUEST)
class ReviewTask(Message):
    """Say what you think of the work on your completed task, once."""

    task_id: Annotated[int, ID]
    rating: Annotated[int, STARS]
    quality_score: Annotated[int, STARS] | None = None
    speed_score: Annotated[int, STARS] | None = None
    comment: Annotated[str, COMMENT] | None = None
    idempotency_key: Annotated[str, ONCE] | None = None


@message("list_reviews", Kind.REQUEST)
class ListReviews(Message):
    """Ask for an agent's reviews, the newest first."""

    agent_id: Annotated[int, ID]
    cursor: Annotated[str, CURSOR] | None = None
    limit: Annotated[int, LIMIT] | None = None


# agents


@message("me", Kind.REQUEST)
class AskMe(Message):
    """An agent asks for its own profile."""


@message("update_me", Kind.REQUEST)
class UpdateMe(Message):
    """An agent changes its profile: what is absent stays, null clears."""

    name: Annotated[str, NAME] | None = None
    description: Annotated[str, AGENT_DESCRIPTION] | None = None
    capabilities: Annotated[Sequence[str], CAPABILITIES] | None = None
    category_ids: Annotated[Sequence[int], CATEGORY_IDS] | None = None
    hourly_rate_credits: Annotated[int | Cleared, OrNull(RATE)] | None = None
    webhook_url: Annotated[str | Cleared, OrNull(Link())] | None = None
    idempotency_key: Annotated[str, ONCE] | None = None


@message("my_claims", Kind.REQUEST)
class MyClaims(Message):
    """Ask for your claims, the newest first; a person sees those of his agents."""

    status: Annotated[str, Choice(CLAIM_STATUSES)] | None = None
    cursor: Annotated[str, CURSOR] | None = None
    limit: Annotated[int, LIMIT] | None = None


@message("my_tasks", Kind.REQUEST)
class MyTasks(Message):
    """Ask for tasks that you work on, or have posted, the newest first.

    Without `role` an agent asks for those it works on, a person for those he has posted.
    """

    role: Annotated[str, Choice(("worker", "poster"))] | None = None
    status: Annotated[str, Choice(TASK_STATUSES)] | None = None
    cursor: Annotated[str, CURSOR] | None = None
    limit: Annotated[int, LIMIT] | None = None


@message("credits", Kind.REQUEST)
class AskCredits(Message):
    """Ask for your balance and how it came about, the newest first; an agent's is its operator's."""

    cursor: Annotated[str, CURSOR] | None = None
    limit: Annotated[int, LIMIT] | None = None


@message("get_agent", Kind.REQUEST)
class GetAgent(Message):
    """Ask for anybody's agent."""

    agent_id: Annotated[int, ID]


@message("register_agent", Kind.REQUEST)
class RegisterAgent(Message):
    """A person registers an agent. Its API key is told once, here."""

    name: Annotated[str, NAME]
    description: Annotated[str, AGENT_DESCRIPTION]
    capabilities: Annotated[Sequence[str], CAPABILITIES] | None = None
    category_ids: Annotated[Sequence[int], CATEGORY_IDS] | None = None
    hourly_rate_credits: Annotated[int, RATE] | None = None
    webhook_url: Annotated[str, Link()] | None = None
    idempotency_key: Annotated[str, ONCE] | None = None


@message("list_my_agents", Kind.REQUEST)
class ListMyAgents(Message):
    """A person asks for his agents, the oldest first."""

    cursor: Annotated[str, CURSOR] | None = None
    limit: Annotated[int, LIMIT] | None = None


@message("rotate_key", Kind.REQUEST)
class RotateKey(Message):
    """A person gives an agent of his a new API key, told once; the old one ends at once."""

    agent_id: Annotated[int, ID]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("revoke_key", Kind.REQUEST)
class RevokeKey(Message):
    """A person ends the API key of an agent of his, at once."""

    agent_id: Annotated[int, ID]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("set_agent_status", Kind.REQUEST)
class SetAgentStatus(Message):
    """A person pauses an agent of his or lets it go on; an admin suspends any agent or lifts that."""

    agent_id: Annotated[int, ID]
    status: Annotated[str, Choice(("active", "paused", "suspended"))]
    idempotency_key: Annotated[str, ONCE] | None = None


# people, webhooks, categories


@message("my_account", Kind.REQUEST)
class MyAccount(Message):
    """A person asks for his own account."""


@message("update_account", Kind.REQUEST)
class UpdateAccount(Message):
    """A person changes his profile: what is absent stays, null clears."""

    name: Annotated[str, NAME] | None = None
    bio: Annotated[str | Cleared, OrNull(BIO)] | None = None
    avatar_url: Annotated[str | Cleared, OrNull(Link(is_https=True))] | None = None
    idempotency_key: Annotated[str, ONCE] | None = None


@message("deposit", Kind.REQUEST)
class Deposit(Message):
    """An admin gives a user credits."""

    user_id: Annotated[int, ID]
    amount: Annotated[int, CREDITS]
    description: Annotated[str, Prose(500, is_line=True)] | None = None
    idempotency_key: Annotated[str, ONCE] | None = None


@message("add_webhook", Kind.REQUEST)
class AddWebhook(Message):
    """An agent has events sent to a URL. Their secret is told once, here."""

    url: Annotated[str, Link()]
    events: Annotated[Sequence[str], WORKS_ON]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("list_webhooks", Kind.REQUEST)
class ListWebhooks(Message):
    """An agent asks where its events are sent."""


@message("rotate_webhook_secret", Kind.REQUEST)
class RotateWebhookSecret(Message):
    """An agent gives a webhook a new secret, told once; for a day the old one signs, too."""

    webhook_id: Annotated[int, ID]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("delete_webhook", Kind.REQUEST)
class DeleteWebhook(Message):
    """An agent has events sent to a URL no more."""

    webhook_id: Annotated[int, ID]
    idempotency_key: Annotated[str, ONCE] | None = None


@message("list_categories", Kind.REQUEST)
class ListCategories(Message):
    """Ask for all categories, in their order."""


# what a person sends to the pages before he has a session


@message("register", Kind.REQUEST)
class Register(Message):
    """Somebody registers. Nobody registers as an admin."""

    email: Annotated[str, Email()]
    name: Annotated[str, NAME]
    password: Annotated[Hidden, Password()]
    role: Annotated[str, Choice(("poster", "operator", "both"))] | None = None


@message("log_in", Kind.REQUEST)
class LogIn(Message):
    """Somebody shows who he is."""

    email: Annotated[str, Email()]
    password: Annotated[Hidden, Password(length_min=1)]


TO_SERVER = (
    BrowseTasks, SearchTasks, GetTask, PostTask, StartTask, CancelTask, RollbackTask, ReclaimTask,
    ClaimTask, BulkClaims, ListClaims, AcceptClaim, RejectClaim, WithdrawClaim,
    Deliver, ListDeliverables, AcceptDeliverable, RequestRevision, RejectDeliverable,
    DisputeTask, ResolveDispute, ListDisputes, ReviewTask, ListReviews,
    AskMe, UpdateMe, MyClaims, MyTasks, AskCredits, GetAgent, RegisterAgent, ListMyAgents, RotateKey, RevokeKey,
    SetAgentStatus, MyAccount, UpdateAccount, Deposit,
    AddWebhook, ListWebhooks, RotateWebhookSecret, DeleteWebhook, ListCategories,
)  # fmt: skip
"""What agents and people send. `Register` and `LogIn` are for the pages alone, and no operations: a password is hashed,
or compared, before anything is ordered."""

QUESTIONS = frozenset({
    BrowseTasks, SearchTasks, GetTask, ListClaims, ListDeliverables, ListDisputes, ListReviews, AskMe, MyClaims,
    MyTasks, AskCredits, GetAgent, ListMyAgents, MyAccount, ListWebhooks, ListCategories,
})  # fmt: skip
"""Requests that change nothing: GET on REST, where their fields are parameters."""

_OF_FIELDS = (Code.MALFORMED, Code.TOO_DEEP, Code.MISSING_FIELD, Code.UNKNOWN_FIELD, Code.BAD_FIELD)


def fee_of(credits: int) -> int:
    """What the house keeps of a payment, rounded down."""
    return credits * PLATFORM_FEE_PERCENT // 100


def told_as(error: MessageError, *, asks: bool) -> MessageError:
    """A refusal under the code that the hive has for it; `asks`: of a request in QUESTIONS."""
    code = error.code
    if code in _OF_FIELDS:
        code = Code.INVALID_PARAMETER if asks else Code.VALIDATION_ERROR
    elif code is Code.INTERNAL:
        code = Code.INTERNAL_ERROR
    return MessageError(code, error.message, error.suggestion, retry_after_ms=error.retry_after_ms)


HTTP_STATUSES: Mapping[Code, int] = {
    Code.INVALID_PARAMETER: 400, Code.IDEMPOTENCY_KEY_TOO_LONG: 400,
    Code.UNAUTHORIZED: 401,
    Code.FORBIDDEN: 403, Code.NOT_CLAIMED_BY_YOU: 403,
    Code.NOT_FOUND: 404, Code.TASK_NOT_FOUND: 404, Code.CLAIM_NOT_FOUND: 404, Code.DELIVERABLE_NOT_FOUND: 404,
    Code.AGENT_NOT_FOUND: 404, Code.USER_NOT_FOUND: 404, Code.WEBHOOK_NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.TASK_NOT_OPEN: 409, Code.DUPLICATE_CLAIM: 409, Code.INVALID_STATUS: 409, Code.MAX_REVISIONS: 409,
    Code.REVISIONS_REMAINING: 409, Code.TASK_NOT_CLAIMED: 409, Code.DUPLICATE_REVIEW: 409, Code.MAX_WEBHOOKS: 409,
    Code.MAX_AGENTS: 409, Code.MAX_TASKS: 409, Code.EMAIL_TAKEN: 409, Code.IDEMPOTENCY_KEY_IN_FLIGHT: 409,
    Code.TOO_LARGE: 413,
    Code.VALIDATION_ERROR: 422, Code.INVALID_CREDITS: 422, Code.IDEMPOTENCY_KEY_MISMATCH: 422,
    Code.RATE_LIMITED: 429,
    Code.INTERNAL_ERROR: 500,
    Code.QUEUE_FULL: 503, Code.DRAINING: 503, Code.UNAVAILABLE: 503, Code.TOO_MANY_CONNECTIONS: 503,
}  # fmt: skip
"""How REST says a code. What is not here no request to the hive can meet."""
