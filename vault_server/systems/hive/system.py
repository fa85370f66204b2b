"""The hive as `app.py` takes it: its operations, events, deadlines and what operators see of it.

Its doors (REST, the socket /hive, the pages, webhooks) all lead here: one operation, many doors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from protocol import hive as wire
from vault_server.core.operation import Door, Endpoint, Operation, System
from vault_server.systems.hive import (
    accounts,
    agents,
    browsing,
    claims,
    credits,
    deliverables,
    orders,
    reviews,
    ruling,
    sending,
    tasks,
    upkeep,
    webhooks,
)
from vault_server.systems.hive.doors import HiveAccounts
from vault_server.systems.hive.gauges import GAUGES
from vault_server.systems.hive.invariants import INVARIANTS
from vault_server.systems.hive.pushes import PUSHES
from vault_server.systems.hive.records import Parts
from vault_server.systems.hive.repeating import once
from vault_server.systems.hive.reports import REPORTS
from vault_server.systems.hive.sealed import SEALED

ACCOUNTS = frozenset({Endpoint.HIVE})
ITSELF = frozenset({Endpoint.SERVER})
OPERATOR = frozenset({Endpoint.OPERATOR})

HANDLERS: dict[type, Callable[..., Any]] = {
    wire.BrowseTasks: browsing.browse_tasks,
    wire.SearchTasks: browsing.search_tasks,
    wire.GetTask: tasks.get_task,
    wire.PostTask: tasks.post_task,
    wire.StartTask: deliverables.start_task,
    wire.CancelTask: tasks.cancel_task,
    wire.RollbackTask: tasks.rollback_task,
    wire.ReclaimTask: tasks.reclaim_task,
    wire.ClaimTask: claims.claim_task,
    wire.BulkClaims: claims.bulk_claim,
    wire.ListClaims: claims.list_claims,
    wire.AcceptClaim: claims.accept_claim,
    wire.RejectClaim: claims.reject_claim,
    wire.WithdrawClaim: claims.withdraw_claim,
    wire.Deliver: deliverables.deliver,
    wire.ListDeliverables: deliverables.list_deliverables,
    wire.AcceptDeliverable: deliverables.accept_deliverable,
    wire.RequestRevision: deliverables.request_revision,
    wire.RejectDeliverable: deliverables.reject_deliverable,
    wire.DisputeTask: ruling.dispute,
    wire.ResolveDispute: ruling.resolve_dispute,
    wire.ListDisputes: ruling.list_disputes,
    wire.ReviewTask: reviews.review,
    wire.ListReviews: reviews.list_reviews,
    wire.AskMe: agents.me,
    wire.UpdateMe: agents.update_me,
    wire.MyClaims: claims.my_claims,
    wire.MyTasks: browsing.my_tasks,
    wire.AskCredits: credits.list_credits,
    wire.GetAgent: agents.get_agent,
    wire.RegisterAgent: agents.register_agent,
    wire.ListMyAgents: agents.list_my_agents,
    wire.RotateKey: agents.rotate_key,
    wire.RevokeKey: agents.revoke_key,
    wire.SetAgentStatus: agents.set_agent_status,
    wire.MyAccount: accounts.my_account,
    wire.UpdateAccount: accounts.update_account,
    wire.Deposit: credits.deposit,
    wire.AddWebhook: webhooks.add_webhook,
    wire.ListWebhooks: webhooks.list_webhooks,
    wire.RotateWebhookSecret: webhooks.rotate_webhook_secret,
    wire.DeleteWebhook: webhooks.delete_webhook,
    wire.ListCategories: browsing.list_categories,
}
"""What agents and people can ask, and who answers it."""


def hive(parts: Parts) -> System:
    """The whole system, built with its parts."""

    def asked(order: type, handler: Callable[..., Any]) -> Operation:
        is_repeatable = "idempotency_key" in order.SHAPE.names  # type: ignore[attr-defined]
        carry_out = partial(once(handler) if is_repeatable else handler, parts)
        return Operation(order, ACCOUNTS, carry_out, only_reads=order in wire.QUESTIONS)

    def ordered(order: type, handler: Callable[..., Any], callers: frozenset[Endpoint] = ITSELF) -> Operation:
        return Operation(order, callers, partial(handler, parts))

    return System(
        name="hive",
        doors=[
            Door(
                wire.HIVE_PATH,
                Endpoint.HIVE,
                by_account=True,
                frame_bytes_max=parts.settings.hive_body_bytes_max,
            )
        ],
        operations=[
            *(asked(order, handler) for order, handler in HANDLERS.items()),
            ordered(orders.RegisterUser, accounts.register_user),
            ordered(orders.OpenSession, accounts.open_session),
            ordered(orders.CloseSession, accounts.close_session),
            ordered(orders.AppointAdmin, accounts.appoint_admin, OPERATOR),
            ordered(orders.StartHive, upkeep.start_hive),
            ordered(orders.AcceptUnreviewed, upkeep.accept_unreviewed),
            ordered(orders.BeginDelivery, sending.begin),
            ordered(orders.EndDelivery, sending.end),
            ordered(orders.ResumeWebhook, sending.resume),
        ],
        pushes=PUSHES,
        jobs=sending.jobs(parts),
        deadlines={
            deliverables.ACCEPT: lambda subject: orders.AcceptUnreviewed(int(subject)),
            sending.CLAIM: lambda subject: orders.ResumeWebhook(int(subject)),
        },
        reports=REPORTS,
        invariants=INVARIANTS,
        gauges=GAUGES,
        sealed=SEALED,
        tidying=[partial(upkeep.tidy, parts)],
        starting=[orders.StartHive()],
        accounts=HiveAccounts(parts),
    )
