"""What clients and solvers can ask of the vault: one function, one transaction, top to bottom."""

from __future__ import annotations

import json

from protocol import vault as wire
from protocol.errors import Code
from protocol.puzzle import Puzzle, answer_bytes, difficulty, effort_seconds
from protocol.sealing import parts as length_prefixed
from vault_server.core.operation import Caller, Refusal, Relay, Row, Transaction, log
from vault_server.core.operation import Endpoint as At
from vault_server.exchange import idempotency, participants
from vault_server.systems.vault.assigning import assign, end_assignment, offer_open_tasks, offer_to_distrusted
from vault_server.systems.vault.inspection import puzzle_of
from vault_server.systems.vault.judging import deliver_late, judge
from vault_server.systems.vault.outcomes import ask_others, is_being_judged
from vault_server.systems.vault.proofs import check_form, check_room
from vault_server.systems.vault.records import (
    Parts,
    Task,
    as_dict,
    assignment_of,
    assignment_of_solver,
    hold_solvers,
    not_live,
    open_puzzle,
    open_squarings,
    open_task_answer,
    proof_of_task,
    q,
    standing_of_assignment,
    task_of_client,
)
from vault_server.systems.vault.rules import SLOTS, Judgement
from vault_server.systems.vault.states import ASSIGNMENT, IN_HAND, TASK
from vault_server.systems.vault.submitting import Submission, insert_task
from vault_server.systems.vault.traps import make_first_trap

JOIN_AGAIN_MS = 1000

# clients


def submit_puzzle(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.SubmitPuzzle, now_ms: int
) -> wire.PuzzleAccepted:
    """Store a puzzle and give it to two solvers (seed 000 §3.1)."""
    puzzle = puzzle_of(order)
    request_hash = b""
    if order.idempotency_key is not None:
        request_hash = _request_hash(parts, order)
        earlier = idempotency.recall(tx, caller, order.idempotency_key, request_hash)
        if earlier is not None:
            return _accepted(task_of_client(tx, caller, earlier))
    _count_request(parts, tx, caller, now_ms)
    submission = Submission(puzzle, order.commitment, wants_proof=order.proof != "none")
    task = insert_task(parts, tx, caller.fingerprint, submission, now_ms)
    if order.idempotency_key is not None:
        idempotency.keep(tx, caller, order.idempotency_key, request_hash, task.fingerprint, now_ms)
    log(tx, "task.submitted", task=task.fingerprint, client=caller.fingerprint, modulus_bits=task.modulus_bits)
    assign(parts, tx, task, now_ms)
    return wire.PuzzleAccepted(
        task=task.fingerprint,
        difficulty=difficulty(puzzle.squarings, puzzle.modulus),
        effort_seconds=effort_seconds(puzzle.squarings, task.modulus_bits),
        assigned=SLOTS - task.empty_slots(),
        promised_by=task.promised_by,
    )


def _count_request(parts: Parts, tx: Transaction, caller: Caller, now_ms: int) -> None:
    limit = parts.settings.open_tasks_max
    if tx.run(q.count_request, client_id=caller.fingerprint, open_tasks_max=limit):
        return
    if tx.one(q.client, client_id=caller.fingerprint) is not None:
        raise Refusal(
            Code.TOO_MANY_OPEN_TASKS,
            f"You have {limit} tasks that have not ended.",
            f"Wait for an answer or cancel a task; {limit} may be open at once (open_tasks_max).",
        )
    participants.register(tx, caller, now_ms)
    tx.run(q.insert_client, client_id=caller.fingerprint)
    tx.run(q.count_request, client_id=caller.fingerprint, open_tasks_max=limit)


def _request_hash(parts: Parts, order: wire.SubmitPuzzle) -> bytes:
    numbers = (n.to_bytes((n.bit_length() + 7) // 8, "big") for n in (order.t, order.baseg, order.product))
    return parts.cipher.fingerprint(
        length_prefixed(*numbers, order.commitment or b"", (order.proof or "required").encode())
    )


def _filled(row: Row) -> int:
    return (row["first_assignment_id"] is not None) + (row["second_assignment_id"] is not None)


def _accepted(row: Row) -> wire.PuzzleAccepted:
    return wire.PuzzleAccepted(
        task=row["fingerprint"],
        difficulty=row["difficulty"],
        effort_seconds=row["effort"],
        assigned=_filled(row),
        promised_by=row["promised_by"],
    )


def ask_status(parts: Parts, tx: Transaction, caller: Caller, order: wire.AskStatus, _now_ms: int) -> wire.TaskState:
    """How one of the caller's tasks stands, with its answer once it has one."""
    row = task_of_client(tx, caller, order.task)
    proof = proof_of_task(parts, tx, row)
    return wire.TaskState(
        task=row["fingerprint"],
        status=row["status"],
        assigned=_filled(row),
        num_assignments=row["num_assignments"],
        created=row["created_at"],
        promised_by=row["promised_by"],
        answer=None if row["answer"] is None else open_task_answer(parts.cipher, row),
        judged_by=row["judged_by"],
        reason=row["reason"],
        complaint_deadline=row["complaint_deadline"],
        proof=None if proof is None else proof.raw,
        solver=None if proof is None else proof.solver,
    )


def cancel_task(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.CancelTask, now_ms: int
) -> wire.TaskCancelled:
    """Give up a task that has no answer; its solvers are released."""
    task = Task.of(task_of_client(tx, caller, order.task), parts.cipher)
    if not TASK.allows(task.status, "cancel"):
        raise Refusal(
            Code.TASK_ENDED,
            f"Task {task.fingerprint} is {task.status}.",
            "Only a task that has not ended can be cancelled; ask task_status for its answer.",
        )
    hold_solvers(tx, task.fingerprint)
    changed = tx.run(
        q.end_task,
        fingerprint=task.fingerprint,
        status=TASK.after(task.status, "cancel"),
        updated_at=now_ms,
        expected=task.status,
    )
    assert changed == 1, f"task {task.fingerprint} is no longer {task.status}"
    log(tx, "task.cancelled", task=task.fingerprint)
    for row in tx.all(q.other_live_assignments, task_id=task.fingerprint, db_key=0):
        in_hand = row["status"] in IN_HAND
        if not in_hand and is_being_judged(task, row):
            continue
        end_assignment(tx, row, "release" if in_hand else "leave_unproved", now_ms, tell=True)
        if in_hand:
            offer_open_tasks(parts, tx, [row["solver_id"]], now_ms)
    return wire.TaskCancelled(task=task.fingerprint)


# solvers


def update_status(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.UpdateStatus, now_ms: int
) -> wire.StatusUpdated:
    """What a solver offers from now on; when it is ready it is given what waits."""
    before = tx.one(q.solver, solver_id=caller.fingerprint)
    if before is None:  # its coming could not be written down; its connection is being closed
        raise Refusal(
            Code.UNAVAILABLE,
            "The storage could not take you in.",
            "Connect again in a moment.",
            retry_after_ms=JOIN_AGAIN_MS,
        )
    announced = min(order.capacity, parts.settings.capacity_max)
    capacity = min(announced, before["trusted"])
    tx.run(
        q.update_solver_status,
        solver_id=caller.fingerprint,
        state=order.state,
        announced=announced,
        capacity=capacity,
        modulus_bits_max=max((_size(name) for name in order.speeds), default=0),
        speeds=json.dumps(order.speeds, separators=(",", ":")),
    )
    log(tx, "solver.status", solver=caller.fingerprint, state=order.state, announced=announced, capacity=capacity)
    given = offer_open_tasks(parts, tx, [caller.fingerprint], now_ms)
    if parts.settings.trap_first and order.state == "ready" and not before["valid_answers"] + before["in_hand"] + given:
        make_first_trap(parts, tx, now_ms)
    offer_to_distrusted(parts, tx, now_ms)  # this one may be no longer what they waited for
    return wire.StatusUpdated(capacity=capacity, holding=before["in_hand"] + given)


def _size(name: str) -> int:
    if not (name.isascii() and name.isdigit()) or name.startswith("0"):
        raise Refusal(
            Code.BAD_FIELD,
            f"Field 'speeds' has a size {name!a} that is no number of bits.",
            'Name sizes in decimal, like "2048".',
        )
    return int(name)


def accept_assignment(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.AcceptAssignment, now_ms: int
) -> wire.AssignmentAccepted:
    """Take what was offered; may be repeated."""
    row = tx.one(q.accept_assignment, db_key=order.assignment, solver_id=caller.fingerprint, accepted_at=now_ms)
    if row is None:
        raise not_live(standing_of_assignment(tx, caller, order.assignment))
    if row["accepted_at"] == now_ms:
        log(tx, "assignment.accepted", task=row["task_id"], assignment=order.assignment, solver=caller.fingerprint)
    return wire.AssignmentAccepted(assignment=order.assignment, deadline=row["deadline"])


def report_progress(parts: Parts, tx: Transaction, caller: Caller, order: wire.ReportProgress, _now_ms: int) -> None:
    """Let the client see how far its task is, if it is there; nothing is stored."""
    row = tx.one(q.assignment_of_solver, db_key=order.assignment, solver_id=caller.fingerprint)
    if row is None or row["assignment_status"] not in IN_HAND:
        return  # a signal has no reply, and the end of the assignment is on its way as a push
    total = open_squarings(parts.cipher, row)
    progress = wire.TaskProgress(task=row["fingerprint"], done=min(order.done, total), total=total)
    tx.after(Relay(f"key:{row['client_id']}", At.CLIENT, progress, topic=row["fingerprint"]))


def submit_answer(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.SubmitAnswer, now_ms: int
) -> wire.AnswerTaken:
    """Store a solver's answer and judge it (seed 000 §3.3)."""
    row = assignment_of_solver(tx, caller, order.assignment)
    if not _takes_answer(row, order, now_ms):
        raise not_live(row)
    row = as_dict(row)
    puzzle = _check_answer(parts, tx, row, order)
    hold_solvers(tx, row["fingerprint"])
    raw = answer_bytes(order.answer, puzzle.modulus)
    if row["assignment_status"] == "released":
        assert order.proof is not None, "a late answer is taken with its proof alone"
        verdict = deliver_late(parts, tx, row, raw, order.proof, now_ms)
    else:
        verdict = judge(parts, tx, row, puzzle, raw, order.proof, now_ms)
    return wire.AnswerTaken(assignment=order.assignment, verdict=verdict)


def _takes_answer(row: Row, order: wire.SubmitAnswer, now_ms: int) -> bool:
    """Whether the assignment is live, or released and the answer, which it has not yet, proved and just in time."""
    if ASSIGNMENT.allows(row["assignment_status"], "deliver"):
        return True
    late_until: int | None = row["late_until"]
    return late_until is not None and now_ms <= late_until and order.proof is not None and row["delivered_at"] is None


def _check_answer(parts: Parts, tx: Transaction, row: Row, order: wire.SubmitAnswer) -> Puzzle:
    """Refuse what is no answer; nothing of that is held against the solver."""
    puzzle = open_puzzle(parts.cipher, row)
    if not 1 <= order.answer < puzzle.modulus:
        raise Refusal(
            Code.ANSWER_OUT_OF_RANGE,
            f"The answer to assignment {order.assignment} is not in 1..product-1.",
            "Send baseg^(2^t) reduced modulo product; the assignment is still yours.",
        )
    is_released = row["assignment_status"] == "released"
    if order.proof is not None and (is_released or row["judging"] != Judgement.COMPUTED.value):
        check_form(order.proof, puzzle, order.assignment)
        check_room(parts, tx, row["solver_id"])
    return puzzle


def return_assignment(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.ReturnAssignment, now_ms: int
) -> wire.AssignmentReturned:
    """Take work back from a solver that hands it back in time, and give it to another."""
    row = assignment_of_solver(tx, caller, order.assignment)
    if not ASSIGNMENT.allows(row["assignment_status"], "release"):
        raise not_live(row)
    hold_solvers(tx, row["fingerprint"])
    end_assignment(tx, assignment_of(row, row["assignment_status"]), "release", now_ms, tell=False)
    log(tx, "assignment.returned", task=row["fingerprint"], assignment=order.assignment, solver=caller.fingerprint)
    ask_others(parts, tx, row, now_ms, returned=1)
    return wire.AssignmentReturned(assignment=order.assignment)
