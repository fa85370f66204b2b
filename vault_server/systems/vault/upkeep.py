"""What the server orders itself: keys come and go, deadlines pass, judges are done."""

from __future__ import annotations

from vault_server.core.operation import Caller, Transaction, log
from vault_server.core.operation import Endpoint as At
from vault_server.exchange import deadlines, outbox, participants, presence
from vault_server.systems.vault import orders
from vault_server.systems.vault.assigning import end_assignment, offer_open_tasks, offer_to_distrusted
from vault_server.systems.vault.evidence import against_solver, is_blamed_for
from vault_server.systems.vault.hearings import hear_proof
from vault_server.systems.vault.judging import CONFIRM, REFUTE, conclude
from vault_server.systems.vault.outcomes import SETTLE, ask_others
from vault_server.systems.vault.records import (
    Parts,
    Task,
    assignment_of,
    hold_solvers,
    open_assignment_answer,
    q,
)
from vault_server.systems.vault.rules import Evidence, Judgement
from vault_server.systems.vault.states import ASSIGNMENT, PROOF, TASK
from vault_server.systems.vault.traps import look_again

SETTLE_AGAIN_MS = 60_000
JUDGED_BY_PROOF = frozenset({"delivered", "unproved", "released"})
"""Of an assignment that has an answer. A factor may have been quicker: then its verdict stands."""


def start_serving(parts: Parts, tx: Transaction, caller: Caller, _order: orders.StartServing, now_ms: int) -> None:
    """Nobody is online before they connect, and nobody is to blame for a server that was down."""
    if tx.is_alone:
        tx.run(q.all_solvers_offline)
    else:
        tx.run(q.solvers_of_node_offline, node=parts.settings.node)
    look_again(parts, tx, now_ms)
    excuse_solvers(parts, tx, caller, orders.ExcuseSolvers(), now_ms)


def excuse_solvers(parts: Parts, tx: Transaction, _caller: Caller, _order: orders.ExcuseSolvers, now_ms: int) -> None:
    """A deadline that passed while the server was down, or stood still, is nobody's fault.

    Solvers get `restart_grace_ms` to come back with what they have, and to respond; clients as long to complain.
    """
    if presence.others_were_there(tx, parts.settings.node, now_ms):
        return  # whoever was connected here could go there
    until = now_ms + parts.settings.restart_grace_ms
    excused = tx.run(q.excuse_assignments, until=until)
    if excused:
        tx.run(q.postpone_expiries, until=until)
        log(tx, "assignment.excused", count=excused, until=until)
    if tx.run(q.prolong_hearings, until=until):
        tx.run(q.postpone_rulings, until=until)
    if tx.run(q.prolong_complaint_windows, until=until):
        tx.run(q.postpone_settling, until=until)


def take_solvers_offline(tx: Transaction, node: str, _now_ms: int) -> None:
    """A server is gone: its solvers are offline until they connect elsewhere, and keep what they have in hand."""
    tx.run(q.solvers_of_node_offline, node=node)


def bring_solvers_back(tx: Transaction, node: str, _now_ms: int) -> None:
    """A server was only taken to be gone: whoever has not left it is online."""
    tx.run(q.solvers_of_node_online, node=node)


def join_solver(parts: Parts, tx: Transaction, caller: Caller, _order: orders.JoinSolver, now_ms: int) -> None:
    """A solver is online; it is offered work once it says that it is ready."""
    participants.register(tx, caller, now_ms)
    tx.run(q.insert_solver, solver_id=caller.fingerprint)
    tx.run(q.solver_online, solver_id=caller.fingerprint, address=caller.address, node=parts.settings.node)
    log(tx, "solver.online", solver=caller.fingerprint)


def leave_solver(parts: Parts, tx: Transaction, caller: Caller, _order: orders.LeaveSolver, now_ms: int) -> None:
    """A solver is gone; it keeps its assignments until their deadlines."""
    if not tx.run(q.solver_offline, solver_id=caller.fingerprint, node=parts.settings.node):
        return  # it has connected to another node meanwhile
    log(tx, "solver.offline", solver=caller.fingerprint)
    offer_to_distrusted(parts, tx, now_ms)


def offer_again(parts: Parts, tx: Transaction, _caller: Caller, _order: orders.OfferToDistrusted, now_ms: int) -> None:
    """A solver is trusted no longer: nobody waits for it any more."""
    offer_to_distrusted(parts, tx, now_ms)


def expire_assignment(
    parts: Parts, tx: Transaction, _caller: Caller, order: orders.ExpireAssignment, now_ms: int
) -> None:
    """A deadline has passed: the slot is free for another solver."""
    row = tx.one(q.assignment, db_key=order.assignment)
    if row is None or not ASSIGNMENT.allows(row["assignment_status"], "expire"):
        return
    hold_solvers(tx, row["fingerprint"])
    task, solver_id = Task.of(row, parts.cipher), row["solver_id"]
    blamed = is_blamed_for(task, row)
    end_assignment(tx, assignment_of(row, row["assignment_status"]), "expire", now_ms, tell=True)
    log(tx, "assignment.expired", task=task.fingerprint, assignment=order.assignment, solver=solver_id, blamed=blamed)
    if blamed:
        against_solver(tx, solver_id, Evidence.DEADLINE_MISSED, task.fingerprint, now_ms)
    ask_others(parts, tx, row, now_ms)


def settle_task(_parts: Parts, tx: Transaction, _caller: Caller, order: orders.SettleTask, now_ms: int) -> None:
    """The time to complain has passed and every complaint has its ruling: the answer stands."""
    row = tx.one(q.task, fingerprint=order.task)
    if row is None or not TASK.allows(row["status"], "settle"):
        return
    pending = [c for c in tx.all(q.complaints_of_task, task_id=order.task) if c["ruled_at"] is None]
    if pending:
        due = max(complaint["respond_by"] or 0 for complaint in pending)
        deadlines.put(tx, SETTLE, order.task, max(due, now_ms) + SETTLE_AGAIN_MS)
        return
    tx.run(
        q.end_task,
        fingerprint=order.task,
        status=TASK.after(row["status"], "settle"),
        updated_at=now_ms,
        expected=row["status"],
    )
    log(tx, "task.settled", task=order.task)


def record_judgement(
    parts: Parts, tx: Transaction, _caller: Caller, order: orders.RecordJudgement, now_ms: int
) -> None:
    """A worker process has computed the answer: write the verdict, and tell the solver that was told "pending"."""
    row = tx.one(q.assignment, db_key=order.assignment)
    if row is None or row["assignment_status"] != "delivered":
        return
    hold_solvers(tx, row["fingerprint"])
    raw = open_assignment_answer(parts.cipher, row["assignment_answer"], order.assignment, row["solver_id"])
    event = CONFIRM if order.is_right else REFUTE
    assignment = assignment_of(row, row["assignment_status"])
    verdict = conclude(parts, tx, Task.of(row, parts.cipher), assignment, raw, event, Judgement.COMPUTED, now_ms)
    outbox.push(tx, row["solver_id"], At.SOLVER, "assignment_ended", str(order.assignment), now_ms, detail=verdict)
    offer_open_tasks(parts, tx, [row["solver_id"]], now_ms)


def record_proof(parts: Parts, tx: Transaction, _caller: Caller, order: orders.RecordProof, now_ms: int) -> None:
    """A proof has been checked: write the verdict on the answer it came for, and tell its solver."""
    kept = tx.one(q.proof, assignment_id=order.assignment)
    row = tx.one(q.assignment, db_key=order.assignment)
    if kept is None or row is None or kept["status"] != PROOF.first:
        return
    hold_solvers(tx, row["fingerprint"])
    status = PROOF.after(kept["status"], "hold" if order.holds else "fail")
    tx.run(q.end_proof, assignment_id=order.assignment, status=status, checked_at=now_ms, expected=kept["status"])
    event = CONFIRM if order.holds else REFUTE
    if row["assignment_status"] in JUDGED_BY_PROOF:
        raw = open_assignment_answer(parts.cipher, row["assignment_answer"], order.assignment, row["solver_id"])
        assignment = assignment_of(row, row["assignment_status"])
        task = Task.of(row, parts.cipher)
        verdict = conclude(parts, tx, task, assignment, raw, event, Judgement.PROOF, now_ms)
        if row["assignment_status"] != "unproved":  # else it has been told the end, and the ruling will tell the rest
            key = str(order.assignment)
            outbox.push(tx, row["solver_id"], At.SOLVER, "assignment_ended", key, now_ms, detail=verdict)
    hear_proof(parts, tx, order.assignment, now_ms)
    offer_open_tasks(parts, tx, [row["solver_id"]], now_ms)
