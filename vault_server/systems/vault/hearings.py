"""Hearings: the solvers whose answer a client calls wrong are asked, and their own word alone can convict them."""

from __future__ import annotations

from collections.abc import Sequence

from protocol import vault as wire
from protocol.errors import Code
from vault_server.core.operation import SERVER, Caller, Endpoint, Refusal, Row, Transaction, log
from vault_server.exchange import deadlines, outbox
from vault_server.systems.vault.orders import RuleComplaint
from vault_server.systems.vault.proofs import check_form, check_room, keep_proof
from vault_server.systems.vault.records import Parts, open_puzzle, q
from vault_server.systems.vault.rules import Judgement
from vault_server.systems.vault.rulings import RAISED, Ruling, rule
from vault_server.systems.vault.states import COMPLAINT

RULE = "rule_complaint"
"""The deadline until which solvers may respond."""
CHECKING_MS = 1000
"""A ruling that waits for a proof to be checked is looked at again after this."""


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
    if order.proof is not None:
        _take_proof(parts, tx, caller, order, own[0], now_ms)
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


def _take_proof(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.RespondToComplaint, party: Row, now_ms: int
) -> None:
    """A proof goes with the word: it is checked before the ruling."""
    assert order.proof is not None, "called with a proof"
    if order.response != "stands_by":
        raise Refusal(
            Code.BAD_FIELD,
            "Field 'proof' has no place beside 'withdraws'.",
            "Send a proof only when you stand by your answer.",
        )
    row = tx.one(q.assignment, db_key=order.assignment)
    assert row is not None, "a party's assignment exists"
    check_form(order.proof, open_puzzle(parts.cipher, row), order.assignment)
    if party["proof_status"] is not None:
        return  # this answer has had its proof, which is or has been checked
    check_room(parts, tx, caller.fingerprint)
    keep_proof(parts, tx, order.assignment, caller.fingerprint, order.proof, now_ms)


def hear_proof(parts: Parts, tx: Transaction, assignment: int, now_ms: int) -> None:
    """A proof has been checked: complaints that wait for the word of its solver may have their ruling now."""
    for asked in tx.all(q.complaints_asked_of, assignment_id=assignment):
        parties = tx.all(q.parties_of_complaint, complaint_id=asked["id"])
        if any(party["proof_status"] == "holding" for party in parties) or all(party["response"] for party in parties):
            rule_complaint(parts, tx, SERVER, RuleComplaint(asked["id"]), now_ms)


def rule_complaint(parts: Parts, tx: Transaction, _caller: Caller, order: RuleComplaint, now_ms: int) -> None:
    """The time to respond has passed, or all have responded."""
    complaint = tx.one(q.complaint, id=order.complaint)
    if complaint is None or complaint["status"] != "asked":
        return
    row = tx.one(q.task, fingerprint=complaint["task_id"])
    assert row is not None, "a complaint's task exists"
    parties = tx.all(q.parties_of_complaint, complaint_id=order.complaint)
    if any(party["proof_status"] == "waiting" for party in parties):
        deadlines.put(tx, RULE, str(order.complaint), now_ms + CHECKING_MS)
        return  # it is ruled as soon as the proof has been checked
    deadlines.clear(tx, RULE, str(order.complaint))
    ruling = _ruling(parties)
    rule(parts, tx, row, complaint, ruling, now_ms)
    proved = [party["assignment_id"] for party in parties if party["proof_status"] == "holding"]
    if proved:
        tx.run(q.set_proved, fingerprint=row["fingerprint"], judged_by=Judgement.PROOF.value, proved_by=proved[0])


def _ruling(parties: Sequence[Row]) -> Ruling:
    """What arithmetic and the solvers' own words come to: one proof that holds shows that all of them were right."""
    withdrawn = [party["assignment_id"] for party in parties if party["response"] == "withdraws"]
    if any(party["proof_status"] == "holding" for party in parties):
        return Ruling("reject", "a proof shows the answer to be right")
    if withdrawn:
        return Ruling("uphold", "a solver withdrew its answer, so two no longer agree", withdrawn=withdrawn)
    if any(party["proof_status"] == "failed" for party in parties):
        return Ruling("uphold", "a solver's proof of its answer failed, so two no longer agree")
    return Ruling("leave", "nobody withdrew, and counting answers convicts nobody; a proof or a factor would settle it")
