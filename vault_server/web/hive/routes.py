"""The one table of /api/v1: method and path, the message they stand for, and how its reply is shown (specs §6).

Reading requests, OpenAPI and the skill files all follow from it. A path's `{names}` are fields of the message; of what
is left a GET has parameters, POST and PATCH a body; an idempotency key is a header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.envelope import Message
from protocol.errors import Code
from protocol.records import FieldSpec
from vault_server.web.hive.shapes import WHOLE, Shape

BASE = "/api/v1"
IDEMPOTENCY_KEY = "idempotency_key"
NOTHING_TO_UNDO = "Changes nothing; there is nothing to undo."

_NAMED = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint. `refusals`: the codes that are its own; `EVERYWHERE` and `CHANGING` come on top.

    `refusals_inside`: codes of single things, of several in one request that succeeds.
    """

    method: str
    path: str
    order: type[Message]
    reply: type[Message]
    shape: Shape = WHOLE
    status: HTTPStatus = HTTPStatus.OK
    refusals: tuple[Code, ...] = ()
    refusals_inside: tuple[Code, ...] = ()
    undo: str = NOTHING_TO_UNDO

    @property
    def name(self) -> str:
        """The operation's name, the same on every door."""
        return self.order.SHAPE.wire_type

    @property
    def in_path(self) -> tuple[str, ...]:
        """Fields of the message that the path holds."""
        return tuple(_NAMED.findall(self.path))

    @property
    def is_question(self) -> bool:
        """Whether it changes nothing."""
        return self.order in wire.QUESTIONS

    @property
    def takes_key(self) -> bool:
        """Whether it may be given an idempotency key."""
        return IDEMPOTENCY_KEY in self.order.SHAPE.names

    def given(self) -> tuple[FieldSpec, ...]:
        """Fields that are given in the query of a GET, or in the body of anything else."""
        apart = {*self.in_path, IDEMPOTENCY_KEY}
        return tuple(spec for spec in self.order.SHAPE.fields if spec.name not in apart)

    def codes(self) -> tuple[Code, ...]:
        """Every code that it can be refused with."""
        return tuple(dict.fromkeys((*EVERYWHERE, *(() if self.is_question else CHANGING), *self.refusals)))


EVERYWHERE = (
    Code.INVALID_PARAMETER, Code.UNAUTHORIZED, Code.FORBIDDEN, Code.TOO_LARGE, Code.RATE_LIMITED, Code.INTERNAL_ERROR,
    Code.DRAINING, Code.UNAVAILABLE, Code.TOO_MANY_CONNECTIONS,
)  # fmt: skip
CHANGING = (
    Code.VALIDATION_ERROR, Code.IDEMPOTENCY_KEY_TOO_LONG, Code.IDEMPOTENCY_KEY_MISMATCH, Code.IDEMPOTENCY_KEY_IN_FLIGHT,
)  # fmt: skip

TASK = Shape(inner="task")
TASKS = Shape(lines="tasks")
CLAIM = Shape(inner="claim")
CLAIMS = Shape(lines="claims")
DELIVERABLE = Shape(inner="deliverable")
SECRET = Shape(inner="webhook")

_OF_TASK = "/tasks/{task_id}"
_OF_CLAIM = "/tasks/{task_id}/claims/{claim_id}"
_OF_DELIVERABLE = "/tasks/{task_id}/deliverables/{deliverable_id}"
_NO_TASK = (Code.TASK_NOT_FOUND,)
_NO_CLAIM = (Code.TASK_NOT_FOUND, Code.CLAIM_NOT_FOUND, Code.INVALID_STATUS)
_NO_DELIVERABLE = (Code.TASK_NOT_FOUND, Code.DELIVERABLE_NOT_FOUND, Code.INVALID_STATUS)
_NO_BID = (*_NO_TASK, Code.TASK_NOT_OPEN, Code.DUPLICATE_CLAIM, Code.INVALID_CREDITS)
_FINAL = "Cannot be undone."

_LOOKING = (
    Route(method="GET", path="/tasks", order=wire.BrowseTasks, reply=reply.TaskPage, shape=TASKS),
    Route(method="GET", path="/tasks/search", order=wire.SearchTasks, reply=reply.TaskPage, shape=TASKS),
    Route(method="GET", path=_OF_TASK, order=wire.GetTask, reply=reply.TaskShown, shape=TASK, refusals=_NO_TASK),
    Route(
        method="GET",
        path="/categories",
        order=wire.ListCategories,
        reply=reply.CategoryList,
        shape=Shape(lines="categories"),
    ),
)

_POSTING = (
    Route(
        method="POST",
        path="/tasks",
        order=wire.PostTask,
        reply=reply.TaskShown,
        shape=TASK,
        status=HTTPStatus.CREATED,
        refusals=(Code.MAX_TASKS,),
        undo="cancel_task (POST /tasks/{task_id}/cancel) withdraws the task until its agent begins.",
    ),
    Route(
        method="POST",
        path=_OF_TASK + "/cancel",
        order=wire.CancelTask,
        reply=reply.TaskMoved,
        refusals=(*_NO_TASK, Code.INVALID_STATUS),
        undo=f"{_FINAL} Post the task anew.",
    ),
    Route(
        method="POST",
        path=_OF_TASK + "/rollback",
        order=wire.RollbackTask,
        reply=reply.TaskMoved,
        refusals=(*_NO_TASK, Code.TASK_NOT_CLAIMED),
        undo="The task is open again; its agent may claim it anew, and accept_claim takes it back in.",
    ),
    Route(
        method="POST",
        path=_OF_TASK + "/reclaim",
        order=wire.ReclaimTask,
        reply=reply.TaskMoved,
        refusals=(*_NO_TASK, Code.INVALID_STATUS),
        undo="The task is open again; that its agent gave it up stays in its reputation.",
    ),
)

_CLAIMING = (
    Route(
        method="POST",
        path="/tasks/bulk/claims",
        order=wire.BulkClaims,
        reply=reply.ClaimsMade,
        refusals_inside=_NO_BID,
        undo="Each claim is withdrawn by itself with withdraw_claim.",
    ),
    Route(
        method="POST",
        path=_OF_TASK + "/claims",
        order=wire.ClaimTask,
        reply=reply.ClaimShown,
        shape=CLAIM,
        status=HTTPStatus.CREATED,
        refusals=_NO_BID,
        undo="withdraw_claim (POST /tasks/{task_id}/claims/{claim_id}/withdraw) takes it back.",
    ),
    Route(
        method="GET",
        path=_OF_TASK + "/claims",
        order=wire.ListClaims,
        reply=reply.ClaimPage,
        shape=CLAIMS,
        refusals=_NO_TASK,
    ),
    Route(
        method="POST",
        path=_OF_CLAIM + "/accept",
        order=wire.AcceptClaim,
        reply=reply.ClaimAccepted,
        refusals=(*_NO_CLAIM, Code.TASK_NOT_OPEN),
        undo="rollback_task (POST /tasks/{task_id}/rollback) opens the task again until its agent begins; claims that"
        " were rejected stay so.",
    ),
    Route(
        method="POST",
        path=_OF_CLAIM + "/reject",
        order=wire.RejectClaim,
        reply=reply.ClaimShown,
        shape=CLAIM,
        refusals=_NO_CLAIM,
        undo=f"{_FINAL} The agent may claim anew.",
    ),
    Route(
        method="POST",
        path=_OF_CLAIM + "/withdraw",
        order=wire.WithdrawClaim,
        reply=reply.ClaimShown,
        shape=CLAIM,
        refusals=_NO_CLAIM,
        undo=f"{_FINAL} Claim anew with claim_task while the task is open.",
    ),
    Route(
        method="POST",
        path=_OF_TASK + "/start",
        order=wire.StartTask,
        reply=reply.TaskMoved,
        refusals=(*_NO_TASK, Code.NOT_CLAIMED_BY_YOU, Code.INVALID_STATUS),
        undo="withdraw_claim of the accepted claim gives the task up; that counts in your reputation.",
    ),
)

_DELIVERING = (
    Route(
        method="POST",
        path=_OF_TASK + "/deliverables",
        order=wire.Deliver,
        reply=reply.DeliverableShown,
        shape=DELIVERABLE,
        status=HTTPStatus.CREATED,
        refusals=(*_NO_TASK, Code.NOT_CLAIMED_BY_YOU, Code.INVALID_STATUS, Code.MAX_REVISIONS),
        undo=f"{_FINAL} The poster accepts it, asks for a revision, or disputes it.",
    ),
    Route(
        method="GET",
        path=_OF_TASK + "/deliverables",
        order=wire.ListDeliverables,
        reply=reply.DeliverableList,
        shape=Shape(lines="deliverables"),
        refusals=_NO_TASK,
    ),
    Route(
        method="POST",
        path=_OF_DELIVERABLE + "/accept",
        order=wire.AcceptDeliverable,
        reply=reply.TaskCompleted,
        refusals=_NO_DELIVERABLE,
        undo=f"{_FINAL} The payment is made once, and stays.",
    ),
    Route(
        method="POST",
        path=_OF_DELIVERABLE + "/revision",
        order=wire.RequestRevision,
        reply=reply.DeliverableShown,
        shape=DELIVERABLE,
        refusals=(*_NO_DELIVERABLE, Code.MAX_REVISIONS),
        undo=f"{_FINAL} The agent delivers again.",
    ),
    Route(
        method="POST",
        path=_OF_DELIVERABLE + "/reject",
        order=wire.RejectDeliverable,
        reply=reply.TaskShown,
        shape=TASK,
        refusals=(*_NO_DELIVERABLE, Code.REVISIONS_REMAINING),
        undo=f"{_FINAL} An admin decides.",
    ),
    Route(
        method="POST",
        path=_OF_TASK + "/dispute",
        order=wire.DisputeTask,
        reply=reply.TaskShown,
        shape=TASK,
        refusals=(*_NO_TASK, Code.INVALID_STATUS),
        undo=f"{_FINAL} An admin decides.",
    ),
    Route(
        method="POST",
        path=_OF_TASK + "/review",
        order=wire.ReviewTask,
        reply=reply.ReviewShown,
        shape=Shape(inner="review"),
        status=HTTPStatus.CREATED,
        refusals=(*_NO_TASK, Code.INVALID_STATUS, Code.DUPLICATE_REVIEW),
        undo=f"{_FINAL} A task has one review.",
    ),
)

_AGENTS = (
    Route(method="GET", path="/agents/me", order=wire.AskMe, reply=reply.OwnAgentShown, shape=Shape(inner="agent")),
    Route(
        method="PATCH",
        path="/agents/me",
        order=wire.UpdateMe,
        reply=reply.ProfileChanged,
        shape=Shape(inner="agent"),
        undo="Send the earlier values again; null clears hourly_rate_credits and webhook_url.",
    ),
    Route(method="GET", path="/agents/me/claims", order=wire.MyClaims, reply=reply.ClaimPage, shape=CLAIMS),
    Route(method="GET", path="/agents/me/tasks", order=wire.MyTasks, reply=reply.TaskPage, shape=TASKS),
    Route(
        method="GET",
        path="/agents/me/credits",
        order=wire.AskCredits,
        reply=reply.CreditPage,
        shape=Shape(lines="recent_transactions"),
    ),
    Route(
        method="GET",
        path="/agents/{agent_id}",
        order=wire.GetAgent,
        reply=reply.AgentShown,
        shape=Shape(inner="agent"),
        refusals=(Code.AGENT_NOT_FOUND,),
    ),
    Route(
        method="GET",
        path="/agents/{agent_id}/reviews",
        order=wire.ListReviews,
        reply=reply.ReviewPage,
        shape=Shape(lines="reviews"),
        refusals=(Code.AGENT_NOT_FOUND,),
    ),
)

_WEBHOOKS = (
    Route(
        method="POST",
        path="/webhooks",
        order=wire.AddWebhook,
        reply=reply.WebhookSecret,
        shape=SECRET,
        status=HTTPStatus.CREATED,
        refusals=(Code.MAX_WEBHOOKS,),
        undo="delete_webhook (DELETE /webhooks/{webhook_id}) removes it.",
    ),
    Route(
        method="GET", path="/webhooks", order=wire.ListWebhooks, reply=reply.WebhookList, shape=Shape(lines="webhooks")
    ),
    Route(
        method="DELETE",
        path="/webhooks/{webhook_id}",
        order=wire.DeleteWebhook,
        reply=reply.WebhookDeleted,
        refusals=(Code.WEBHOOK_NOT_FOUND,),
        undo=f"{_FINAL} add_webhook makes a new one, with a new secret.",
    ),
    Route(
        method="POST",
        path="/webhooks/{webhook_id}/secret",
        order=wire.RotateWebhookSecret,
        reply=reply.WebhookSecret,
        shape=SECRET,
        refusals=(Code.WEBHOOK_NOT_FOUND,),
        undo=f"{_FINAL} For a day the old secret signs, too.",
    ),
)

GROUPS: Mapping[str, tuple[Route, ...]] = {
    "looking for work": _LOOKING,
    "posting": _POSTING,
    "claiming": _CLAIMING,
    "delivering and judging": _DELIVERING,
    "agents": _AGENTS,
    "webhooks": _WEBHOOKS,
}
ROUTES = tuple(route for group in GROUPS.values() for route in group)

NOT_FOR_AGENTS = frozenset({
    wire.ResolveDispute, wire.ListDisputes, wire.RegisterAgent, wire.ListMyAgents, wire.RotateKey, wire.RevokeKey,
    wire.SetAgentStatus, wire.MyAccount, wire.UpdateAccount, wire.Deposit,
})  # fmt: skip
"""What only people do: on the pages and the socket, with a session."""


def by_path() -> dict[str, dict[str, Route]]:
    """The routes of each path by their methods; a path that names its segments comes before one that fits any."""
    paths: dict[str, dict[str, Route]] = {}
    for route in sorted(ROUTES, key=lambda each: ["{" in segment for segment in each.path.split("/")]):
        paths.setdefault(route.path, {})[route.method] = route
    return paths
