"""Rulings on complaints: written with their reason, told to both sides, and felt by the side that was wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vault_server.core.operation import Caller, Endpoint, Job, Reader, Row, Transaction, log
from vault_server.exchange import outbox
from vault_server.systems.vault.arithmetic import Answers, Comparison, compare
from vault_server.systems.vault.evidence import against_client, against_solver
from vault_server.systems.vault.judging import CONFIRM, REFUTE, rejudge, weigh_verdict
from vault_server.systems.vault.orders import RecordComparison
from vault_server.systems.vault.outcomes import fail_task
from vault_server.systems.vault.records import (
    Parts,
    Task,
    assignment_of,
    open_assignment_answer,
    open_factor,
    open_puzzle,
    open_task_answer_bytes,
    q,
)
from vault_server.systems.vault.rules import Evidence
from vault_server.systems.vault.states import COMPLAINT, TASK

FACTOR_JOB = "compare_with_factor"
RAISED = "complaint_raised"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What becomes of a complaint: an event of its table, the reason in a sentence, and whom it touches.

    Assignments: `guilty` missed their time, `withdrawn` admitted a wrong answer, `refuted` are proved wrong,
    `confirmed` are proved right.
    """

    event: str
    reason: str
    guilty: Sequence[int] = ()
    withdrawn: Sequence[int] = ()
    refuted: Sequence[int] = ()
    confirmed: Sequence[int] = ()


def rule(parts: Parts, tx: Transaction, row: Row, complaint: Row, ruling: Ruling, now_ms: int) -> None:
    """Write a ruling and all that follows from it; `row` is the task's."""
    key, task_id = complaint["id"], complaint["task_id"]
    after = COMPLAINT.after(complaint["status"], ruling.event)
    changed = tx.run(
        q.rule_complaint, id=key, status=after, ruling=ruling.reason, ruled_at=now_ms, expected=complaint["status"]
    )
    assert changed == 1, f"complaint {key} is no longer {complaint['status']}"
    log(tx, "complaint.ruled", task=task_id, complaint=key, ruling=after, reason=ruling.reason)
    outbox.push(tx, complaint["client_id"], Endpoint.CLIENT, "complaint_ruled", str(key), now_ms)
    parties = tx.all(q.parties_of_complaint, complaint_id=key)
    ask_no_more(tx, key, parties)
    for party in parties:
        detail = str(party["assignment_id"])
        outbox.push(tx, party["solver_id"], Endpoint.SOLVER, "complaint_ruled", str(key), now_ms, detail=detail)
        _weigh(tx, party, ruling, task_id, now_ms)
    for assignment in (*ruling.refuted, *ruling.confirmed):
        _rejudge(parts, tx, assignment, REFUTE if assignment in ruling.refuted else CONFIRM, now_ms)
    if after == "rejected":
        against_client(tx, complaint["client_id"], Evidence.COMPLAINT_REJECTED, task_id, now_ms)
    if complaint["kind"] == "wrong_answer" and after == "upheld" and TASK.allows(row["status"], "overturn"):
        fail_task(tx, Task.of(row, parts.cipher), "overturn", f"complaint {key} was upheld: {ruling.reason}", now_ms)


def ask_no_more(tx: Transaction, complaint: int, parties: Sequence[Row]) -> None:
    """Take back the question from those who have not seen it."""
    for party in parties:
        outbox.withdraw(tx, party["solver_id"], Endpoint.SOLVER, RAISED, str(complaint))


def _weigh(tx: Transaction, party: Row, ruling: Ruling, task_id: str, now_ms: int) -> None:
    if party["assignment_id"] in ruling.guilty:
        against_solver(tx, party["solver_id"], Evidence.COMPLAINT_UPHELD, task_id, now_ms)
    elif party["assignment_id"] in ruling.withdrawn:
        against_solver(tx, party["solver_id"], Evidence.ANSWER_WITHDRAWN, task_id, now_ms)


def _is_proved(tx: Transaction, key: int) -> bool:
    kept = tx.one(q.proof, assignment_id=key)
    return kept is not None and kept["status"] == "holding"


def _rejudge(parts: Parts, tx: Transaction, key: int, event: str, now_ms: int) -> None:
    """Arithmetic has come later than the first verdict.

    A factor refutes even an answer whose proof held: its solver knew an element of small order, as only somebody does
    who knows product's factors. Not if it went on from a checkpoint that the server had handed to it: then the one who
    made that may have known it, and the server's check was the one to be passed.
    """
    row = tx.one(q.assignment, db_key=key)
    assert row is not None, "a party's assignment exists"
    status = row["assignment_status"]
    may_be_refuted = status == "valid" and row["head_start"] == 0 and _is_proved(tx, key)
    if status != "unproved" and not (event == REFUTE and may_be_refuted):
        return  # it had been judged before, by arithmetic or by what its client committed to; or its judge is at work
    after = rejudge(tx, key, status, event)
    if event == REFUTE:
        log(tx, "assignment.refuted", task=row["fingerprint"], assignment=key, solver=row["solver_id"])
    weigh_verdict(tx, Task.of(row, parts.cipher), assignment_of(row, after), now_ms)


# a factor, and what it says of the answers


def comparing_job(parts: Parts) -> Job:
    """Comparing answers with what a factor says: milliseconds, and half a second at four thousand bits."""

    def load(reader: Reader, key: str) -> Answers | None:
        complaint = reader.one(q.complaint, id=int(key))
        if complaint is None or complaint["status"] != "open" or complaint["factor"] is None:
            return None
        row = reader.one(q.task, fingerprint=complaint["task_id"])
        assert row is not None, "a complaint's task exists"
        answers = {
            party["assignment_id"]: int.from_bytes(
                open_assignment_answer(parts.cipher, party["answer"], party["assignment_id"], party["solver_id"]), "big"
            )
            for party in reader.all(q.parties_of_complaint, complaint_id=int(key))
        }
        return Answers(open_puzzle(parts.cipher, row), open_factor(parts.cipher, complaint), answers)

    def conclude(key: str, comparison: Comparison | None) -> RecordComparison:
        return RecordComparison(int(key), comparison)

    def pending(reader: Reader) -> list[str]:
        return [str(row["id"]) for row in reader.all(q.complaints_with_factor)]

    return Job(FACTOR_JOB, load, compare, conclude, pending, by_worker=True)


def record_comparison(parts: Parts, tx: Transaction, _caller: Caller, order: RecordComparison, now_ms: int) -> None:
    """What the factor said becomes the ruling: a difference convicts, else the complaint is rejected. Final."""
    complaint = tx.one(q.complaint, id=order.complaint)
    if complaint is None or complaint["status"] != "open" or complaint["factor"] is None:
        return
    row = tx.one(q.task, fingerprint=complaint["task_id"])
    assert row is not None, "a complaint's task exists"
    found = order.comparison
    if found is None:
        reason = "the factor only seemed to be prime, and says nothing of the answer"
        rule(parts, tx, row, complaint, Ruling("reject", reason), now_ms)
        return
    given = answers_in_question(parts, row, tx.all(q.parties_of_complaint, complaint_id=complaint["id"]))
    if (row["status"] != "failed" and any(key in found.right for key in given)) or not found.wrong:
        reason = "the factor shows the answer to be right" + ("" if found.is_whole else ", as far as it reaches")
        ruling = Ruling("reject", reason, refuted=found.wrong, confirmed=found.right if found.is_whole else ())
    else:
        confirmed = found.right if found.is_whole else ()
        ruling = Ruling("uphold", "the factor proves the answer wrong", refuted=found.wrong, confirmed=confirmed)
    rule(parts, tx, row, complaint, ruling, now_ms)


def answers_in_question(parts: Parts, row: Row, answers: Sequence[Row]) -> frozenset[int]:
    """Which of a task's assignments have the answer that its client was given; all of them when none stood."""
    if row["answer"] is None:
        return frozenset(one["db_key"] for one in answers)
    given = open_task_answer_bytes(parts.cipher, row)
    same = frozenset(
        one["db_key"]
        for one in answers
        if open_assignment_answer(parts.cipher, one["answer"], one["db_key"], one["solver_id"]) == given
    )
    assert same, f"the answer of task {row['fingerprint']} is none of its solvers'"
    return same
