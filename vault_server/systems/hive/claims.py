"""Bids: agents make and withdraw them, the poster accepts one or turns them down."""

from __future__ import annotations

from protocol import hive as wire
from protocol import hive_records as shown
from protocol import hive_replies as reply
from protocol.errors import Code
from vault_server.core.operation import Caller, Reader, Refusal, Row, Transaction, log
from vault_server.systems.hive import access, events, pages, reputation, showing
from vault_server.systems.hive.access import Actor
from vault_server.systems.hive.records import Parts, Task, claim_of, move_claim, move_task, no_such_task, q
from vault_server.systems.hive.records import task_to_decide as locked
from vault_server.systems.hive.states import CLAIM, TASK
from vault_server.systems.hive.tasks import reject_pending, tell_lost


def claim_task(_parts: Parts, tx: Transaction, caller: Caller, order: wire.ClaimTask, now_ms: int) -> reply.ClaimShown:
    """Bid for an open task."""
    actor = access.actor_of(tx, caller)
    access.need_agent(actor)
    return reply.ClaimShown(claim=_claim(tx, actor, order.task_id, order.proposed_credits, order.message, now_ms))


def bulk_claim(_parts: Parts, tx: Transaction, caller: Caller, order: wire.BulkClaims, now_ms: int) -> reply.ClaimsMade:
    """Bid for several tasks; each stands for itself. They are locked in the order of their ids, whatever was sent."""
    actor = access.actor_of(tx, caller)
    access.need_agent(actor)
    if not order.claims:
        raise Refusal(Code.VALIDATION_ERROR, "Field 'claims' is empty.", f"Send 1 to {wire.BULK_CLAIMS_MAX} claims.")
    results: dict[int, shown.BulkResult] = {}
    for index, bid in sorted(enumerate(order.claims), key=lambda each: (each[1].task_id, each[0])):
        results[index] = _one_of_several(tx, actor, bid, now_ms)
    in_order = tuple(results[index] for index in sorted(results))
    succeeded = sum(result.ok for result in in_order)
    summary = shown.BulkSummary(succeeded=succeeded, failed=len(in_order) - succeeded, total=len(in_order))
    return reply.ClaimsMade(results=in_order, summary=summary)


def _one_of_several(tx: Transaction, actor: Actor, bid: shown.BulkClaim, now_ms: int) -> shown.BulkResult:
    """A refusal comes before anything is written, so that there is nothing to undo."""
    try:
        claim = _claim(tx, actor, bid.task_id, bid.proposed_credits, bid.message, now_ms)
    except Refusal as refusal:
        return shown.BulkResult(
            task_id=bid.task_id,
            ok=False,
            code=refusal.code.value,
            message=refusal.message,
            suggestion=refusal.suggestion,
        )
    return shown.BulkResult(task_id=bid.task_id, ok=True, claim=claim)


def _claim(
    tx: Transaction, actor: Actor, task_id: int, proposed_credits: int, message: str | None, now_ms: int
) -> shown.Claim:
    agent_id = access.need_agent(actor)
    task = locked(tx, task_id)
    _check_bid(tx, task, agent_id, proposed_credits)
    row = tx.one(
        q.insert_claim,
        task_id=task.id,
        agent_id=agent_id,
        proposed_credits=proposed_credits,
        message=message,
        status=CLAIM.first,
        now=now_ms,
    )
    assert row is not None, "INSERT … RETURNING gives the row"
    told = {"claim_id": row["id"], "agent_id": agent_id, "proposed_credits": proposed_credits}
    events.tell_poster(tx, "claim.created", task, now_ms, **told)
    log(tx, "hive.claim_made", hive_task=task.id, claim=row["id"], agent=agent_id, credits=proposed_credits)
    return showing.claim(claim_of(tx, task.id, row["id"]))


def _check_bid(tx: Transaction, task: Task, agent_id: int, proposed_credits: int) -> None:
    _check_open(task)
    if tx.one(q.pending_claim, task_id=task.id, agent_id=agent_id) is not None:
        raise Refusal(
            Code.DUPLICATE_CLAIM,
            f"You have a pending claim on task {task.id}.",
            "Wait for its poster, or withdraw it with withdraw_claim and claim anew.",
        )
    if proposed_credits > task.budget_credits:
        raise Refusal(
            Code.INVALID_CREDITS,
            f"proposed_credits {proposed_credits} is more than the {task.budget_credits} of task {task.id}'s budget.",
            f"Propose 1 to {task.budget_credits} credits.",
        )


def _check_open(task: Task) -> None:
    if not TASK.allows(task.status, "accept_claim"):
        raise Refusal(
            Code.TASK_NOT_OPEN,
            f"Task {task.id} is {task.status}.",
            "Look for open tasks with browse_tasks (GET /tasks?status=open).",
        )


def list_claims(_parts: Parts, reader: Reader, caller: Caller, order: wire.ListClaims, _now_ms: int) -> reply.ClaimPage:
    """One page of a task's claims: all for its poster and admins; his own for everybody else."""
    actor = access.actor_of(reader, caller)
    row = reader.one(q.task_seen, id=order.task_id)
    if row is None:
        raise no_such_task(order.task_id)
    sees_all = showing.is_party(actor, row["poster_id"], None)
    question = f"claims {order.task_id} {caller.account}"
    [before] = pages.place(order.cursor, question, pages.ID_MAX)
    rows = reader.all(
        q.claims_of_task,
        task_id=order.task_id,
        id=before,
        agent_id=None if sees_all else actor.agent_id,
        operator_id=None if sees_all or actor.agent_id is not None else actor.user_id,
        count=pages.lines_of(order.limit) + 1,
    )
    found = pages.page(rows, order.limit, question, showing.claim, "id")
    return reply.ClaimPage(claims=found.lines, has_more=found.has_more, cursor=found.cursor)


def my_claims(_parts: Parts, reader: Reader, caller: Caller, order: wire.MyClaims, _now_ms: int) -> reply.ClaimPage:
    """One page of the caller's claims."""
    actor = access.actor_of(reader, caller)
    question = f"my_claims {caller.account} {order.status}"
    [before] = pages.place(order.cursor, question, pages.ID_MAX)
    filters = {"id": before, "status": order.status, "count": pages.lines_of(order.limit) + 1}
    if actor.agent_id is not None:
        rows = reader.all(q.claims_of_agent, agent_id=actor.agent_id, **filters)
    else:
        rows = reader.all(q.claims_of_operator, user_id=actor.user_id, **filters)
    found = pages.page(rows, order.limit, question, showing.claim, "id")
    return reply.ClaimPage(claims=found.lines, has_more=found.has_more, cursor=found.cursor)


def accept_claim(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.AcceptClaim, now_ms: int
) -> reply.ClaimAccepted:
    """Give the task to one agent, and turn all others down (seed 002)."""
    actor = access.actor_of(tx, caller)
    task = locked(tx, order.task_id)
    access.need_poster(actor, task)
    claim = claim_of(tx, task.id, order.claim_id)
    _check_open(task)
    _check_pending(claim, "accept")
    if claim["agent_status"] != "active":
        raise Refusal(
            Code.INVALID_STATUS,
            f"Agent {claim['agent_id']} of claim {claim['id']} is {claim['agent_status']}.",
            "Accept the claim of another agent.",
        )
    move_claim(tx, claim, "accept")
    reject_pending(tx, task, "another_claim_accepted", now_ms)
    agent_id: int = claim["agent_id"]
    moved = move_task(tx, task, "accept_claim", now_ms, to_agent_id=agent_id)
    events.tell_agent(tx, agent_id, "claim.accepted", moved, now_ms, claim_id=claim["id"], agent_id=agent_id)
    return reply.ClaimAccepted(
        task=showing.task(tx, task.id, actor), claim=showing.claim(claim_of(tx, task.id, claim["id"]))
    )


def _check_pending(claim: Row, event: str) -> None:
    if claim["status"] != "pending" or not CLAIM.allows(claim["status"], event):
        raise Refusal(
            Code.INVALID_STATUS,
            f"Claim {claim['id']} is {claim['status']}.",
            f"Look at the pending ones with list_claims (GET /tasks/{claim['task_id']}/claims).",
        )


def reject_claim(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.RejectClaim, now_ms: int
) -> reply.ClaimShown:
    """Turn one bid down; its agent may bid again."""
    task = locked(tx, order.task_id)
    access.need_poster(access.actor_of(tx, caller), task)
    claim = claim_of(tx, task.id, order.claim_id)
    _check_pending(claim, "reject")
    move_claim(tx, claim, "reject")
    tell_lost(tx, task, claim, "rejected", now_ms)
    return reply.ClaimShown(claim=showing.claim(claim_of(tx, task.id, claim["id"])))


def withdraw_claim(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.WithdrawClaim, now_ms: int
) -> reply.ClaimShown:
    """Take a bid back, or give up a task with nothing under review; that counts as abandoned."""
    actor = access.actor_of(tx, caller)
    task = locked(tx, order.task_id)
    claim = claim_of(tx, task.id, order.claim_id)
    _check_own(actor, claim)
    gives_up = claim["status"] == "accepted"
    if not CLAIM.allows(claim["status"], "withdraw") or (gives_up and not TASK.allows(task.status, "give_up")):
        raise Refusal(
            Code.INVALID_STATUS,
            f"Claim {claim['id']} is {claim['status']} and task {task.id} {task.status}.",
            "A pending claim is withdrawn, or an accepted one while nothing is under review.",
        )
    move_claim(tx, claim, "withdraw", is_abandoned=gives_up)
    if gives_up:
        move_task(tx, task, "give_up", now_ms)
        reputation.update(tx, claim["agent_id"], "task_abandoned", task.id, now_ms)
    told = {"claim_id": claim["id"], "agent_id": claim["agent_id"], "reopened": gives_up}
    events.tell_poster(tx, "claim.withdrawn", task, now_ms, **told)
    return reply.ClaimShown(claim=showing.claim(claim_of(tx, task.id, claim["id"])))


def _check_own(actor: Actor, claim: Row) -> None:
    """An agent its own; a person those of his agents."""
    is_own = actor.agent_id == claim["agent_id"] if actor.agent_id else actor.user_id == claim["operator_id"]
    if not is_own:
        raise access.forbidden(
            f"Claim {claim['id']} is another agent's.", "Withdraw your own claims: my_claims lists them."
        )
