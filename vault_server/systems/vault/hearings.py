"""Hearings: the solvers whose answer a client calls wrong are asked, and their own word alone can convict them."""

from __future__ import annotations

from protocol import vault as wire
from protocol.errors import Code
from vault_server.core.operation import SERVER, Caller, Endpoint, Refusal, Row, Transaction, log
from vault_server.exchange import deadlines, outbox
from vault_server.systems.vault.orders import RuleComplaint
from vault_server.systems.vault.records import Parts, q
from vault_server.systems.vault.rulings import RAISED, Ruling, rule
from vault_server.systems.vault.states import COMPLAINT

RULE = "rule_complaint"
"""The deadline until which solvers may respond."""


def ask(parts: Parts, tx: Transaction, complaint: Row, now_ms: int) -> int:
    """Hear the parties before a ruling that needs them; until when they may respond."""
    key = complaint["id"]
    respond_by = now_ms + parts.settings.complaint_response_ms
    after = COMPLAINT.after(complaint["status"], "ask")
    changed = tx.run(q.ask_about_complaint, id=key, status=after, respond_by=respond_by, expected=complaint["status"])
    assert changed == 1, f"complaint {key} is no longer {complaint['status']}"
    deadlines.put(tx, RULE, str(key), respond_by)
    for party in tx.all(q.parties_of_complaint, complaint_id=key):
        detail = str(party["assignment_id"])
        outbox.push(tx, party["solver_id"], Endpoint.SOLVER, RAISED, str(key), now_ms, detail=detail)
    log(tx, "complaint.asked", task=complaint["task_id"], complaint=key, respond_by=respond_by)
    return respond_by


def respond_to_complaint(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.RespondToComplaint, now_ms: int
) -> wire.ComplaintHeard:
    """A solver's word on a complaint about its answer. When all have spoken, the ruling need not wait."""
    complaint = tx.one(q.complaint, id=order.complaint)
    parties = [] if complaint is None else tx.all(q.parties_of_complaint, complaint_id=order.complaint)
    own = [p for p in parties if p["assignment_id"] == order.assignment and p["solver_id"] == caller.fingerprint]
    if complaint is None or not own:
        raise Refusal(
            Code.COMPLAINT_NOT_FOUND,
            f"There is no complaint {order.complaint} about an assignment {order.assignment} of yours.",
            "Respond to complaint_raised with its own numbers, with the key it was sent to.",
        )
    heard = wire.ComplaintHeard(complaint=order.complaint, response=order.response)
    if own[0]["response"] == order.response:
        return heard  # said again: the reply was lost
    if complaint["status"] != "asked" or own[0]["response"] is not None:
        raise Refusal(
            Code.COMPLAINT_ENDED,
            f"Complaint {order.complaint} is {complaint['status']}; your word on it can no longer change.",
            "Nothing is left to do; the ruling is or will be pushed.",
        )
    changed = tx.run(
        q.respond_to_complaint,
        complaint_id=order.complaint,
        assignment_id=order.assignment,
        response=order.response,
        responded_at=now_ms,
    )
    assert changed == 1, f"assignment {order.assignment} has responded to complaint {order.complaint} before"
    log(tx, "complaint.heard", complaint=order.complaint, solver=caller.fingerprint, response=order.response)
    if all(party["response"] for party in parties if party["assignment_id"] != order.assignment):
        rule_complaint(parts, tx, SERVER, RuleComplaint(order.complaint), now_ms)
    return heard


def rule_complaint(parts: Parts, tx: Transaction, _caller: Caller, order: RuleComplaint, now_ms: int) -> None:
    """The time to respond has passed, or all have responded."""
    complaint = tx.one(q.complaint, id=order.complaint)
    if complaint is None or complaint["status"] != "asked":
        return
    row = tx.one(q.task, fingerprint=complaint["task_id"])
    assert row is not None, "a complaint's task exists"
    withdrawn = [
        party["assignment_id"]
        for party in tx.all(q.parties_of_complaint, complaint_id=order.complaint)
        if party["response"] == "withdraws"
    ]
    deadlines.clear(tx, RULE, str(order.complaint))
    if withdrawn:
        ruling = Ruling("uphold", "a solver withdrew its answer, so two no longer agree", withdrawn=withdrawn)
    else:
        ruling = Ruling("leave", "nobody withdrew, and counting answers convicts nobody; a factor would settle it")
    rule(parts, tx, row, complaint, ruling, now_ms)
