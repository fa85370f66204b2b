"""What becomes of an answer (design §7): computed, matched with a commitment, proved, or agreed by two. Nobody is
convicted by counting: only arithmetic calls an answer invalid.

The ways stand side by side in `judge`. A proof is checked elsewhere (proofs.py); its verdict comes back to `conclude`.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from protocol.puzzle import Puzzle, commit
from vault_server.core.operation import Job, JobDue, Reader, Row, Transaction, log
from vault_server.systems.vault import rules, timing
from vault_server.systems.vault.arithmetic import Given, is_right
from vault_server.systems.vault.assigning import end_assignment, offer_open_tasks
from vault_server.systems.vault.evidence import against_solver, reward_valid_answer
from vault_server.systems.vault.orders import RecordJudgement
from vault_server.systems.vault.outcomes import answer_task, fail_task, look_further
from vault_server.systems.vault.proofs import keep_proof
from vault_server.systems.vault.records import (
    Parts,
    Task,
    assignment_of,
    open_assignment_answer,
    open_puzzle,
    open_task_answer_bytes,
    q,
    seal_assignment_answer,
)
from vault_server.systems.vault.rules import Evidence, Judgement
from vault_server.systems.vault.states import ASSIGNMENT, TASK

JUDGE = "judge_answer"

MODULUS_UNSOUND = "modulus_unsound: two proofs hold for two answers, so somebody knows product's factors"

CONFIRM, REFUTE, LEAVE = "confirm", "refute", "leave_unproved"


def judge(parts: Parts, tx: Transaction, row: Row, puzzle: Puzzle, raw: bytes, proof: bytes | None, now_ms: int) -> str:
    """Store and judge an answer, and offer those it sets free what waits; the verdict: valid, invalid, unproved or
    pending.

    `row` joins the assignment, offered or accepted, with its task; `raw` is the answer's bytes, `proof` what came with
    it, well-formed. What can be judged at once is written once, with its verdict.
    """
    task = Task.of(row, parts.cipher, puzzle.squarings)
    verdict = _judge(parts, tx, row, task, puzzle, raw, proof, now_ms)
    offer_open_tasks(parts, tx, [*task.freed, row["solver_id"]], now_ms)
    return verdict


def _judge(
    parts: Parts, tx: Transaction, row: Row, task: Task, puzzle: Puzzle, raw: bytes, proof: bytes | None, now_ms: int
) -> str:
    event = _verdict_at_once(task, puzzle, raw, has_proof=proof is not None)
    status = ASSIGNMENT.after(row["assignment_status"], "deliver")
    if event is not None:
        status = ASSIGNMENT.after(status, event)
    _deliver(parts, tx, row, task, raw, status, now_ms)
    assignment = assignment_of(row, status, delivered_at=now_ms)
    if event is not None:
        if event == LEAVE and task.needs_proof:
            against_solver(tx, row["solver_id"], Evidence.PROOF_MISSING, task.fingerprint, now_ms)
        _follow(parts, tx, task, assignment, raw, task.judging, now_ms)
        return status
    if task.judging is Judgement.COMPUTED:
        tx.after(JobDue(JUDGE, str(assignment["db_key"]), row["solver_id"]))
        return "pending"
    if proof is not None:
        keep_proof(parts, tx, assignment["db_key"], row["solver_id"], proof, now_ms)
        return "pending"
    return _compare(parts, tx, task, assignment, raw, now_ms)


def _verdict_at_once(task: Task, puzzle: Puzzle, raw: bytes, *, has_proof: bool) -> str | None:
    """The event that an answer leads to when that costs microseconds, else None."""
    if task.judging is Judgement.COMPUTED:
        if not rules.is_computed_inline(puzzle.squarings, task.modulus_bits):
            return None
        return CONFIRM if is_right(Given(puzzle, raw)) else REFUTE
    if task.judging is Judgement.KNOWN:
        return CONFIRM if _is_committed(task, puzzle, raw) else REFUTE
    if task.judging is Judgement.COMMITMENT and _is_committed(task, puzzle, raw):
        return CONFIRM
    if has_proof or task.judging is Judgement.AGREED:
        return None
    return LEAVE


def _is_committed(task: Task, puzzle: Puzzle, raw: bytes) -> bool:
    assert task.commitment is not None, "judged by commitment only when there is one"
    return hmac.compare_digest(commit(int.from_bytes(raw, "big"), puzzle.modulus), task.commitment)


def _deliver(parts: Parts, tx: Transaction, row: Row, task: Task, raw: bytes, status: str, now_ms: int) -> None:
    key, solver_id = row["assignment_key"], row["solver_id"]
    changed = tx.run(
        q.deliver_answer,
        db_key=key,
        status=status,
        answer=seal_assignment_answer(parts.cipher, raw, key, solver_id),
        delivered_at=now_ms,
        ended_at=None if status == "delivered" else now_ms,
        expected=row["assignment_status"],
    )
    assert changed == 1, f"assignment {key} is no longer {row['assignment_status']}"
    taken_ms = now_ms - (row["accepted_at"] or row["assigned_at"])
    if taken_ms >= timing.OBSERVABLE_MS:
        _observe(tx, task, row, taken_ms)


def _observe(tx: Transaction, task: Task, row: Row, taken_ms: int) -> None:
    solver_id, squarings = row["solver_id"], task.squarings_of(row)
    solver = tx.one(q.solver, solver_id=solver_id)
    assert solver is not None, "an assignment's solver exists"
    seen = timing.observe(
        solver["observed_speed"], taken_ms=taken_ms, squarings=squarings, modulus_bits=task.modulus_bits
    )
    tx.run(q.observe_speed, solver_id=solver_id, observed_speed=seen)


def deliver_late(parts: Parts, tx: Transaction, row: Row, raw: bytes, proof: bytes, now_ms: int) -> str:
    """Another solver was first, but this proved answer comes within a tenth of the time: it may still count as good."""
    key, solver_id = row["assignment_key"], row["solver_id"]
    sealed = seal_assignment_answer(parts.cipher, raw, key, solver_id)
    changed = tx.run(q.deliver_late, db_key=key, answer=sealed, delivered_at=now_ms)
    assert changed == 1, f"assignment {key} is no longer released without an answer"
    keep_proof(parts, tx, key, solver_id, proof, now_ms)
    return "pending"


def conclude(
    parts: Parts, tx: Transaction, task: Task, assignment: Row, raw: bytes, event: str, way: Judgement, now_ms: int
) -> str:
    """Write the verdict on an answer that was delivered before, and what follows for its task."""
    verdict = ASSIGNMENT.after(assignment["status"], event)
    if assignment["status"] == "delivered":
        end_assignment(tx, assignment, event, now_ms, tell=False)
    else:
        rejudge(tx, assignment["db_key"], assignment["status"], event)
    _follow(parts, tx, task, {**assignment, "status": verdict}, raw, way, now_ms)
    offer_open_tasks(parts, tx, task.freed, now_ms)
    return verdict


def rejudge(tx: Transaction, key: int, status: str, event: str) -> str:
    """Arithmetic has come after the assignment's end: an answer nobody could judge is now right or wrong."""
    after = ASSIGNMENT.after(status, event)
    changed = tx.run(q.rejudge_assignment, db_key=key, status=after, expected=status)
    assert changed == 1, f"assignment {key} is no longer {status}"
    return after


def _follow(
    parts: Parts, tx: Transaction, task: Task, assignment: Row, raw: bytes, way: Judgement, now_ms: int
) -> None:
    """The verdict stands in the assignment's status: what it means for its solver and its task."""
    verdict = assignment["status"]
    log_verdict(tx, task, assignment, verdict)
    if verdict == "valid" and way is Judgement.PROOF and _is_contradicted(parts, tx, task, raw):
        fail_task(tx, task, "overturn", MODULUS_UNSOUND, now_ms)
        _reward(tx, task, assignment, now_ms, is_credible=False)
        return
    weigh_verdict(tx, task, assignment, now_ms)
    if not TASK.allows(task.status, "answer"):
        return  # the other answer was first
    if verdict == "valid":
        answer_task(parts, tx, task, assignment, raw, way, now_ms)
    else:
        look_further(parts, tx, task, [assignment["db_key"]], now_ms)


def _is_contradicted(parts: Parts, tx: Transaction, task: Task, raw: bytes) -> bool:
    """Whether another proof holds for another answer to the task, as only who knows product's factors brings about."""
    if not TASK.allows(task.status, "overturn"):
        return False
    row = tx.one(q.task, fingerprint=task.fingerprint)
    assert row is not None, "the task has been read"
    return row["proved_by"] is not None and open_task_answer_bytes(parts.cipher, row) != raw


def weigh_verdict(tx: Transaction, task: Task, assignment: Row, now_ms: int) -> None:
    """What arithmetic said of an answer counts for or against its solver; `assignment` has its times and new status."""
    solver_id = assignment["solver_id"]
    if assignment["status"] == "valid":
        taken_ms = assignment["delivered_at"] - assignment["assigned_at"]
        squarings = task.squarings_of(assignment)
        is_credible = timing.is_credible(taken_ms=taken_ms, squarings=squarings, modulus_bits=task.modulus_bits)
        _reward(tx, task, assignment, now_ms, is_credible=is_credible)
    elif assignment["status"] == "invalid":
        against_solver(tx, solver_id, Evidence.ANSWER_REFUTED, task.fingerprint, now_ms)


def _reward(tx: Transaction, task: Task, valid: Row, now_ms: int, *, is_credible: bool) -> None:
    reward_valid_answer(
        tx, valid["solver_id"], task.client_id, task.fingerprint, is_credible=is_credible, now_ms=now_ms
    )


def _compare(parts: Parts, tx: Transaction, task: Task, assignment: Row, raw: bytes, now_ms: int) -> str:
    """Agreement: the same bytes from two solvers. Two that differ blame nobody, and a further solver is asked."""
    key = assignment["db_key"]
    earlier = tx.all(q.answers_of_task, task_id=task.fingerprint, db_key=key)
    undecided = [row for row in earlier if row["status"] == "delivered"]
    for row in earlier:
        if open_assignment_answer(parts.cipher, row["answer"], row["db_key"], row["solver_id"]) == raw:
            _leave_unproved(tx, task, [assignment, *undecided], now_ms, told_in_reply=key)
            answer_task(parts, tx, task, assignment, raw, Judgement.AGREED, now_ms)
            return "unproved"
    if undecided:
        _leave_unproved(tx, task, [assignment, *undecided], now_ms, told_in_reply=key)
        look_further(parts, tx, task, [key, *(row["db_key"] for row in undecided)], now_ms)
        return "unproved"
    if _is_stuck(parts, tx, task, key):
        _leave_unproved(tx, task, [assignment], now_ms, told_in_reply=key)
        look_further(parts, tx, task, [key], now_ms)
        return "unproved"
    log_verdict(tx, task, assignment, "pending")
    return "pending"


def _leave_unproved(tx: Transaction, task: Task, rows: Sequence[Row], now_ms: int, *, told_in_reply: int) -> None:
    for row in rows:
        end_assignment(tx, row, LEAVE, now_ms, tell=row["db_key"] != told_in_reply)
        log_verdict(tx, task, row, "unproved")


def _is_stuck(parts: Parts, tx: Transaction, task: Task, key: int) -> bool:
    """Whether no other answer can come: nobody else is at work and nobody else may be asked."""
    others = tx.all(q.other_live_assignments, task_id=task.fingerprint, db_key=key)
    may_open = task.slots_to_open(parts.settings.assignments_max)
    return not others and may_open == 0


def log_verdict(tx: Transaction, task: Task, assignment: Row, verdict: str) -> None:
    """One line for the verdict on an answer."""
    log(
        tx,
        "assignment.answered",
        task=task.fingerprint,
        assignment=assignment["db_key"],
        solver=assignment["solver_id"],
        verdict=verdict,
    )


def judge_job(parts: Parts) -> Job:
    """Computing small puzzles that are too large for a transaction."""

    def load(reader: Reader, key: str) -> Given | None:
        row = reader.one(q.assignment, db_key=int(key))
        if row is None or row["assignment_status"] != "delivered":
            return None
        if Task.of(row, parts.cipher).judging is not Judgement.COMPUTED:
            return None
        raw = open_assignment_answer(parts.cipher, row["assignment_answer"], int(key), row["solver_id"])
        return Given(open_puzzle(parts.cipher, row), raw)

    def conclude_job(key: str, is_valid: bool) -> RecordJudgement:
        return RecordJudgement(int(key), is_valid)

    def pending(reader: Reader) -> list[str]:
        return [str(row["db_key"]) for row in reader.all(q.delivered_assignments)]

    return Job(JUDGE, load, is_right, conclude_job, pending, by_worker=True)
