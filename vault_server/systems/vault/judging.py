"""What becomes of an answer (design §7): computed, matched with a commitment, or agreed by two. Nobody is convicted by
counting: only arithmetic calls an answer invalid.

The three ways stand side by side in `_judge`; a proof will be one more of them.
"""

from __future__ import annotations

import hmac

from protocol.puzzle import Puzzle, answer_bytes, commit, square_repeatedly
from vault_server.core.operation import Endpoint, Job, JobDue, Reader, Row, Transaction, log
from vault_server.exchange import deadlines, outbox
from vault_server.systems.vault import rules
from vault_server.systems.vault.assigning import (
    assign,
    empty_slots,
    end_assignment,
    offer_open_tasks,
    write_slots,
)
from vault_server.systems.vault.orders import RecordJudgement
from vault_server.systems.vault.records import (
    Parts,
    Task,
    open_assignment_answer,
    open_puzzle,
    q,
    seal_task_answer,
)
from vault_server.systems.vault.rules import Judgement
from vault_server.systems.vault.states import ASSIGNMENT, IN_HAND, TASK

JUDGE = "judge_answer"
SETTLE = "settle_task"

CONFIRM, REFUTE, LEAVE = "confirm", "refute", "leave_unproved"


def judge(parts: Parts, tx: Transaction, task: Task, puzzle: Puzzle, assignment: Row, raw: bytes, now_ms: int) -> str:
    """Judge an answer that has just been delivered; the verdict: valid, invalid, unproved or pending.

    `assignment` has db_key, solver_id, status (delivered) and complaint_deadline; `raw` is the answer's bytes.
    """
    way = task.judging
    if way is Judgement.COMPUTED:
        if not rules.is_computed_inline(puzzle.squarings, task.modulus_bits):
            tx.after(JobDue(JUDGE, str(assignment["db_key"])))
            return "pending"
        is_right = raw == _computed(puzzle)
        return conclude(parts, tx, task, assignment, raw, CONFIRM if is_right else REFUTE, way, now_ms)
    if way is Judgement.COMMITMENT:
        assert task.commitment is not None, "judged by commitment only when there is one"
        answer = int.from_bytes(raw, "big")
        matches = hmac.compare_digest(commit(answer, puzzle.modulus), task.commitment)
        return conclude(parts, tx, task, assignment, raw, CONFIRM if matches else LEAVE, way, now_ms)
    return _compare(parts, tx, task, assignment, raw, now_ms)


def _computed(puzzle: Puzzle) -> bytes:
    return answer_bytes(square_repeatedly(puzzle.base, puzzle.squarings, puzzle.modulus), puzzle.modulus)


def conclude(
    parts: Parts, tx: Transaction, task: Task, assignment: Row, raw: bytes, event: str, way: Judgement, now_ms: int
) -> str:
    """Write the verdict on a delivered answer, and what follows for its task."""
    verdict = ASSIGNMENT.after(assignment["status"], event)
    end_assignment(tx, assignment, event, now_ms, tell=False)
    _log_verdict(tx, task, assignment, verdict)
    if verdict == "valid":
        _count_valid(tx, assignment["solver_id"])
    if not TASK.allows(task.status, "answer"):
        return verdict  # the other answer was first
    if verdict == "valid":
        _answer(parts, tx, task, assignment, raw, way, now_ms)
    else:
        look_further(parts, tx, task, [assignment["db_key"]], now_ms)
    return verdict


def _compare(parts: Parts, tx: Transaction, task: Task, assignment: Row, raw: bytes, now_ms: int) -> str:
    """Agreement: the same bytes from two solvers. Two that differ blame nobody, and a further solver is asked."""
    key = assignment["db_key"]
    earlier = tx.all(q.answers_of_task, task_id=task.fingerprint, db_key=key)
    undecided = [row for row in earlier if row["status"] == "delivered"]
    for row in earlier:
        if open_assignment_answer(parts.cipher, row["answer"], row["db_key"], row["solver_id"]) == raw:
            _leave_unproved(tx, task, [assignment, *undecided], now_ms, told_in_reply=key)
            _answer(parts, tx, task, assignment, raw, Judgement.AGREED, now_ms)
            return "unproved"
    if undecided:
        _leave_unproved(tx, task, [assignment, *undecided], now_ms, told_in_reply=key)
        look_further(parts, tx, task, [key, *(row["db_key"] for row in undecided)], now_ms)
        return "unproved"
    if _is_stuck(parts, tx, task, key):
        _leave_unproved(tx, task, [assignment], now_ms, told_in_reply=key)
        look_further(parts, tx, task, [key], now_ms)
        return "unproved"
    log(
        tx,
        "assignment.answered",
        task=task.fingerprint,
        assignment=key,
        solver=assignment["solver_id"],
        verdict="pending",
    )
    return "pending"


def _leave_unproved(tx: Transaction, task: Task, rows: list[Row], now_ms: int, *, told_in_reply: int) -> None:
    for row in rows:
        end_assignment(tx, row, LEAVE, now_ms, tell=row["db_key"] != told_in_reply)
        _log_verdict(tx, task, row, "unproved")


def _is_stuck(parts: Parts, tx: Transaction, task: Task, key: int) -> bool:
    """Whether no other answer can come: nobody else is at work and nobody else may be asked."""
    others = tx.all(q.other_live_assignments, task_id=task.fingerprint, db_key=key)
    may_open = task.slots_to_open(parts.settings.assignments_max)
    return not others and may_open == 0


def _answer(
    parts: Parts, tx: Transaction, task: Task, assignment: Row, raw: bytes, way: Judgement, now_ms: int
) -> None:
    """The task has its answer: tell the client, release who is still at it without blame."""
    expected, task.status = task.status, TASK.after(task.status, "answer")
    changed = tx.run(
        q.answer_task,
        fingerprint=task.fingerprint,
        status=task.status,
        answer=seal_task_answer(parts.cipher, raw, task),
        judged_by=way.value,
        updated_at=now_ms,
        expected=expected,
    )
    assert changed == 1, f"task {task.fingerprint} is no longer {expected}"
    outbox.push(tx, task.client_id, Endpoint.CLIENT, "tlp_response", task.fingerprint, now_ms)
    deadlines.put(tx, SETTLE, task.fingerprint, assignment["complaint_deadline"])
    log(tx, "task.answered", task=task.fingerprint, judged_by=way.value, solver=assignment["solver_id"])
    release_others(parts, tx, task, assignment["db_key"], now_ms)


def release_others(parts: Parts, tx: Transaction, task: Task, key: int, now_ms: int) -> None:
    """Release without blame who is still working; an answer that waits for its judge keeps waiting."""
    for row in tx.all(q.other_live_assignments, task_id=task.fingerprint, db_key=key):
        if row["status"] in IN_HAND:
            end_assignment(tx, row, "release", now_ms, tell=True)
            log(tx, "assignment.released", task=task.fingerprint, assignment=row["db_key"], solver=row["solver_id"])
            offer_open_tasks(parts, tx, row["solver_id"], now_ms)


def look_further(parts: Parts, tx: Transaction, task: Task, ended: list[int], now_ms: int) -> None:
    """These assignments ended without an answer: free their slots, ask others, or fail when nobody may be asked."""
    expected = task.status
    empty_slots(task, ended)
    write_slots(parts, tx, task, expected, now_ms)
    if assign(parts, tx, task, now_ms):
        return
    if task.slots_to_open(parts.settings.assignments_max):
        return  # a slot stays open for a solver that comes online
    waiting = list(tx.all(q.other_live_assignments, task_id=task.fingerprint, db_key=0))
    if any(row["status"] in IN_HAND for row in waiting):
        return
    if waiting and task.judging is Judgement.COMPUTED:
        return  # its judge is still at work
    for row in waiting:
        end_assignment(tx, row, LEAVE, now_ms, tell=True)
    _fail(tx, task, now_ms)


def _fail(tx: Transaction, task: Task, now_ms: int) -> None:
    reason = f"no answer could be judged right after {task.num_assignments} assignments"
    expected, task.status = task.status, TASK.after(task.status, "fail")
    changed = tx.run(
        q.end_task,
        fingerprint=task.fingerprint,
        status=task.status,
        reason=reason,
        updated_at=now_ms,
        expected=expected,
    )
    assert changed == 1, f"task {task.fingerprint} is no longer {expected}"
    outbox.push(tx, task.client_id, Endpoint.CLIENT, "task_failed", task.fingerprint, now_ms)
    log(tx, "task.failed", task=task.fingerprint, reason=reason)


def _count_valid(tx: Transaction, solver_id: str) -> None:
    solver = tx.one(q.count_valid_answer, solver_id=solver_id)
    assert solver is not None, "an assignment's solver exists"
    band = rules.band(solver["reputation_score"], solver["valid_answers"])
    if band != solver["band"]:
        tx.run(q.set_band, solver_id=solver_id, band=band)


def _log_verdict(tx: Transaction, task: Task, assignment: Row, verdict: str) -> None:
    log(
        tx,
        "assignment.answered",
        task=task.fingerprint,
        assignment=assignment["db_key"],
        solver=assignment["solver_id"],
        verdict=verdict,
    )


def judge_job(parts: Parts) -> Job:
    """Computing small puzzles that are too large for a transaction, in the judges' threads."""

    def load(reader: Reader, key: str) -> tuple[Puzzle, bytes] | None:
        row = reader.one(q.assignment, db_key=int(key))
        if row is None or not ASSIGNMENT.allows(row["assignment_status"], CONFIRM):
            return None
        if Task.of(row, parts.cipher).judging is not Judgement.COMPUTED:
            return None
        raw = open_assignment_answer(parts.cipher, row["assignment_answer"], int(key), row["solver_id"])
        return open_puzzle(parts.cipher, row), raw

    def compute(work: tuple[Puzzle, bytes]) -> bool:
        puzzle, raw = work
        return raw == _computed(puzzle)

    def conclude_job(key: str, is_right: bool) -> RecordJudgement:
        return RecordJudgement(int(key), is_right)

    def pending(reader: Reader) -> list[str]:
        return [str(row["db_key"]) for row in reader.all(q.delivered_assignments)]

    return Job(JUDGE, load, compute, conclude_job, pending)
