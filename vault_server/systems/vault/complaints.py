"""Complaints (design §7): the record settles what was late or missing, arithmetic what was wrong.

Nobody is convicted by counting answers: without a revealed factor a wrong answer is convicted by its solver's own word
alone; proofs will settle the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol import vault as wire
from protocol.errors import Code, MessageError
from protocol.puzzle import may_be_prime
from vault_server.core.operation import Caller, JobDue, Refusal, Row, Transaction, log
from vault_server.exchange import deadlines
from vault_server.systems.vault import rules
from vault_server.systems.vault.evidence import is_blamed_for
from vault_server.systems.vault.hearings import RULE, ask
from vault_server.systems.vault.records import Parts, Task, open_modulus, q, seal_factor, task_of_client
from vault_server.systems.vault.rulings import FACTOR_JOB, Ruling, answers_in_question, ask_no_more, rule
from vault_server.systems.vault.states import COMPLAINT, OPEN

RULING_MS = 1000
"""About how long a comparison may take to get its turn."""


def has_no_factor(order: wire.Complain) -> bool:
    """Whether there is nothing to compute before the transaction."""
    return order.factor is None


def check_factor(parts: Parts, order: wire.Complain) -> None:
    """What costs milliseconds and needs no row: whether a revealed factor can be prime.

    A judge makes sure of it later, when it is known to divide the product.
    """
    assert order.factor is not None, "called with a factor"
    if order.kind != "wrong_answer":
        raise Refusal(
            Code.BAD_FIELD,
            f"Field 'factor' has no place in a complaint of {order.kind}.",
            "Reveal a factor only with wrong_answer; leave it out otherwise.",
        )
    if order.factor.bit_length() > parts.settings.modulus_bits_max or not may_be_prime(order.factor):
        raise _no_factor()


def complain(parts: Parts, tx: Transaction, caller: Caller, order: wire.Complain, now_ms: int) -> wire.ComplaintTaken:
    """Take a client's complaint; what the record settles is ruled at once."""
    row = task_of_client(tx, caller, order.task)
    asked = _earlier(tx, row, order)  # first: who repeats a request whose reply was lost is told so
    _check_window(row, order, now_ms)
    _check_matter(tx, row, order)
    _check_rejections(parts, tx, caller, now_ms, counted=int(asked is not None and asked["status"] == "asked"))
    if order.factor is not None and not _divides(parts, row, order.factor):
        raise _no_factor()
    if asked is not None:
        return _reveal(parts, tx, row, asked, order)
    key = tx.insert(
        q.insert_complaint,
        task_id=order.task,
        client_id=caller.fingerprint,
        kind=order.kind,
        status=COMPLAINT.first,
        created_at=now_ms,
    )
    log(tx, "complaint.made", task=order.task, complaint=key, kind=order.kind, client=caller.fingerprint)
    return _proceed(parts, tx, row, _load(tx, key), order, now_ms)


def _proceed(
    parts: Parts, tx: Transaction, row: Row, complaint: Row, order: wire.Complain, now_ms: int
) -> wire.ComplaintTaken:
    if order.kind != "wrong_answer":
        _rule_by_record(parts, tx, row, complaint, now_ms)
        return _taken(_load(tx, complaint["id"]), None)
    answers = tx.all(q.assignments_with_answer, task_id=order.task)
    given = answers_in_question(parts, row, answers)
    _name_parties(tx, complaint, [answer for answer in answers if answer["db_key"] in given])
    settled = rules.rule_wrong_answer(row["judged_by"], has_factor=order.factor is not None)
    if settled is not None:
        rule(parts, tx, row, complaint, Ruling("reject", settled), now_ms)
        return _taken(_load(tx, complaint["id"]), None)
    if order.factor is not None:
        return _reveal(parts, tx, row, complaint, order)
    respond_by = ask(parts, tx, complaint, now_ms)
    return _taken(_load(tx, complaint["id"]), respond_by)


def _rule_by_record(parts: Parts, tx: Transaction, row: Row, complaint: Row, now_ms: int) -> None:
    """What was late or missing stands in the rows. Who was not blamed for its deadline is not blamed here either."""
    missed = tx.all(q.missed_assignments, task_id=row["fingerprint"])
    _name_parties(tx, complaint, missed)
    event, reason = rules.rule_by_record(
        complaint["kind"],
        status=row["status"],
        promised_by_ms=row["promised_by"],
        answered_ms=row["answered_at"],
        missed=len(missed),
    )
    task = Task.of(row, parts.cipher)
    guilty = [one["db_key"] for one in missed if is_blamed_for(task, one) and not one["upheld_before"]]
    rule(parts, tx, row, complaint, Ruling(event, reason, guilty=guilty if event == "uphold" else ()), now_ms)


def _check_window(row: Row, order: wire.Complain, now_ms: int) -> None:
    status, until = row["status"], row["complaint_deadline"]
    if status in ("cancelled", "settled") or (until is not None and now_ms > until):
        raise Refusal(
            Code.COMPLAINT_LATE,
            f"Task {order.task} is {status} and takes no complaint any more.",
            "Complain before complaint_deadline, which task_state names.",
        )
    may_be_wrong = status == "answered" or (status == "failed" and order.factor is not None)
    if order.kind == "wrong_answer" and not may_be_wrong:
        raise Refusal(
            Code.NOTHING_TO_COMPLAIN,
            f"Task {order.task} is {status}: there is no answer to complain of.",
            "Complain of late or no_answer once its promised time has passed. After a failure a factor of product "
            "shows which answers were wrong.",
        )
    waits = status in OPEN or (status == "failed" and order.kind == "late")
    if waits and row["answered_at"] is None and now_ms <= row["promised_by"]:
        raise Refusal(
            Code.COMPLAINT_EARLY,
            f"Task {order.task} was promised for a time that has not passed.",
            "Wait for promised_by; the answer is pushed to you.",
            retry_after_ms=row["promised_by"] + 1 - now_ms,
        )


def _check_matter(tx: Transaction, row: Row, order: wire.Complain) -> None:
    """A task that failed: the complaint has to be about somebody who missed a deadline, or who answered."""
    if row["status"] != "failed":
        return
    if order.kind == "no_answer" and not tx.all(q.missed_assignments, task_id=order.task):
        raise Refusal(
            Code.NOTHING_TO_COMPLAIN,
            f"Every solver that was asked for task {order.task} answered or handed it back in time.",
            "Reveal a factor of product with wrong_answer: it shows which answers were wrong.",
        )
    if order.kind == "wrong_answer" and not tx.all(q.assignments_with_answer, task_id=order.task):
        raise Refusal(
            Code.NOTHING_TO_COMPLAIN,
            f"Nobody has answered task {order.task}.",
            "Complain of no_answer instead.",
        )


def _check_rejections(parts: Parts, tx: Transaction, caller: Caller, now_ms: int, *, counted: int) -> None:
    """Too many rejected complaints limit a client; one that waits for its ruling may be rejected yet.

    `counted` of those that wait are this one itself.
    """
    limit, window_ms = parts.settings.complaints_rejected_max, parts.settings.complaints_rejected_window_ms
    unruled = tx.one(q.unruled_complaints, client_id=caller.fingerprint)
    assert unruled is not None, "an aggregate has a row"
    waiting = unruled["number"] - counted
    if waiting >= limit:
        raise Refusal(
            Code.TOO_MANY_COMPLAINTS,
            f"{waiting} of your complaints wait for their ruling.",
            f"Complain again when they have it; {limit} may wait (complaints_rejected_max).",
            retry_after_ms=max(RULING_MS, (unruled["respond_by"] or 0) + 1 - now_ms),
        )
    oldest = tx.one(  # of the newest that make the limit: when it no longer counts, there is room for one more
        q.rejected_complaint,
        client_id=caller.fingerprint,
        since=now_ms - window_ms,
        newer=limit - 1 - waiting,
    )
    if oldest is not None:
        raise Refusal(
            Code.TOO_MANY_COMPLAINTS,
            f"{limit} of your complaints were rejected lately.",
            f"Complain again later; fewer than {limit} may be rejected in the window (complaints_rejected_max).",
            retry_after_ms=oldest["ruled_at"] + window_ms - now_ms,
        )


def _divides(parts: Parts, row: Row, factor: int) -> bool:
    modulus = open_modulus(parts.cipher, row)
    return 1 < factor < modulus and modulus % factor == 0


def _no_factor() -> MessageError:
    return Refusal(
        Code.NOT_A_FACTOR,
        "The factor is not a prime that divides the task's product.",
        "Send one prime factor of product; without one, leave the field out.",
    )


def _earlier(tx: Transaction, row: Row, order: wire.Complain) -> Row | None:
    """The complaint that a revealed factor goes with, if solvers are being asked about it. Refuses to hear twice."""
    for earlier in tx.all(q.complaints_of_task, task_id=row["fingerprint"]):
        if earlier["kind"] != order.kind:
            continue
        if earlier["status"] == "asked" and order.factor is not None:
            return earlier
        if earlier["status"] == "undecided" and order.factor is not None:
            continue  # what could not be decided may be settled by a factor
        raise _made_before(earlier)
    return None


def _made_before(earlier: Row) -> MessageError:
    """With its ruling, where there is one: whoever repeats a complaint may have missed it."""
    name = f"You made complaint {earlier['id']} ({earlier['kind']}) about task {earlier['task_id']} before, and it"
    if earlier["ruled_at"] is None:
        wait = "Wait for its ruling, which is pushed to you (complaint_ruled)."
        return Refusal(Code.COMPLAINT_EXISTS, f"{name} has no ruling yet.", wait)
    next_ = "The ruling stands: there is nothing more to do."
    if earlier["status"] == "undecided":
        next_ = "Reveal a prime factor of product with wrong_answer: that settles what is undecided."
    return Refusal(Code.COMPLAINT_EXISTS, f"{name} was ruled: {earlier['status']}, since {earlier['ruling']}.", next_)


def _name_parties(tx: Transaction, complaint: Row, assignments: Sequence[Row]) -> None:
    for assignment in assignments:
        tx.run(q.insert_party, complaint_id=complaint["id"], assignment_id=assignment["db_key"])


def _reveal(parts: Parts, tx: Transaction, row: Row, complaint: Row, order: wire.Complain) -> wire.ComplaintTaken:
    """Keep the factor sealed, and have the answers compared with it: arithmetic, and final."""
    assert order.factor is not None, "called with a factor"
    status = complaint["status"]
    after = COMPLAINT.after(status, "reveal") if status == "asked" else status
    factor = seal_factor(parts.cipher, order.factor, complaint["id"], row)
    changed = tx.run(q.reveal_factor, id=complaint["id"], status=after, factor=factor, expected=status)
    assert changed == 1, f"complaint {complaint['id']} is no longer {status}"
    ask_no_more(tx, complaint["id"], tx.all(q.parties_of_complaint, complaint_id=complaint["id"]))
    deadlines.clear(tx, RULE, str(complaint["id"]))
    _name_parties(tx, complaint, tx.all(q.assignments_with_answer, task_id=order.task))  # arithmetic judges them all
    tx.after(JobDue(FACTOR_JOB, str(complaint["id"]), row["client_id"]))
    return _taken({**complaint, "status": after}, None)


def _load(tx: Transaction, key: int) -> Row:
    complaint = tx.one(q.complaint, id=key)
    assert complaint is not None, "it has just been written"
    return complaint


def _taken(complaint: Row, ruling_by: int | None) -> wire.ComplaintTaken:
    return wire.ComplaintTaken(
        complaint=complaint["id"], task=complaint["task_id"], status=complaint["status"], ruling_by=ruling_by
    )
