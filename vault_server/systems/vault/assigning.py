"""Giving tasks to solvers and taking them back (seed 000 §3.2).

A solver's counters, its request and its deadline follow the assignment's row by trigger (storage/triggers/).
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from vault_server.core.operation import Caller, Endpoint, Row, Transaction, log
from vault_server.exchange import deadlines, outbox
from vault_server.systems.vault import rules
from vault_server.systems.vault.orders import AssignAgain
from vault_server.systems.vault.records import Parts, Task, candidate, candidates, q
from vault_server.systems.vault.rules import SLOTS, Candidate
from vault_server.systems.vault.states import ASSIGNMENT, TASK
from vault_server.systems.vault.succession import look_for_checkpoint
from vault_server.systems.vault.timing import deadline_ms

CANDIDATES_MAX = 16
"""Solvers ranked for one task, and kept in the ranking that explains the choice."""

AGAIN = "assign_again"
"""The deadline that a task with an open slot has where several nodes assign."""
AGAIN_MS_MIN, AGAIN_MS_MAX = 250, 300_000

EXPIRE = "expire_assignment"
"""The deadline that the trigger `on_task_assignment_insert` sets."""


def assign(parts: Parts, tx: Transaction, task: Task, now_ms: int, *, again_ms: int = AGAIN_MS_MIN) -> int:
    """Fill the task's open slots with the best solvers there are; the number of slots filled now.

    Where others write at the same time, a solver that is just being given something is overlooked, and so is this task
    by whoever comes free: an open slot is looked at again after `again_ms`.
    """
    filled = _fill(parts, tx, task, now_ms)
    if not tx.is_alone and task.slots_to_open(parts.settings.assignments_max):
        deadlines.put(tx, AGAIN, task.fingerprint, now_ms + again_ms)
    return filled


def assign_again(parts: Parts, tx: Transaction, _caller: Caller, order: AssignAgain, now_ms: int) -> None:
    """A task has waited a while: perhaps somebody was overlooked. It waits twice as long before the next look."""
    row = tx.one(q.task, fingerprint=order.task)
    if row is not None and row["open_slots"]:
        again_ms = min(AGAIN_MS_MAX, max(AGAIN_MS_MIN, now_ms - row["updated_at"]))
        assign(parts, tx, Task.of(row, parts.cipher), now_ms, again_ms=again_ms)


def _fill(parts: Parts, tx: Transaction, task: Task, now_ms: int) -> int:
    wanted = task.slots_to_open(parts.settings.assignments_max)
    if wanted == 0:
        return 0
    if task.is_trap:
        return _assign_trap(parts, tx, task, wanted, now_ms)
    taken_address = _taken_address(tx, task)
    ranked = rules.rank(candidates(_available(parts, tx, task, CANDIDATES_MAX)))
    if not ranked:
        return 0
    ranked += _elsewhere(parts, tx, task, ranked, taken_address)
    newcomer = _newcomer(parts, tx, task) if task.key % rules.NEWCOMER_TURN == 0 and task.slots[0] is None else None
    chosen = _choose(tx, ranked, wanted, taken_address, newcomer)
    if not chosen:
        return 0
    _give(parts, tx, task, chosen, ranked, now_ms)
    return len(chosen) + _fill_up(parts, tx, task, now_ms)


def _choose(
    tx: Transaction, ranked: Sequence[Candidate], count: int, taken_address: str | None, newcomer: Candidate | None
) -> list[Candidate]:
    """The solvers to ask; where others write too, of those that nobody else is just giving something."""
    if tx.is_alone:
        return rules.choose(ranked, count=count, taken_address=taken_address, newcomer=newcomer)
    busy: set[str] = set()
    while True:
        free = [solver for solver in ranked if solver.solver_id not in busy]
        somebody_new = None if newcomer is None or newcomer.solver_id in busy else newcomer
        chosen = rules.choose(free, count=count, taken_address=taken_address, newcomer=somebody_new)
        overlooked = {s.solver_id for s in chosen if tx.one(q.claim_solver, solver_id=s.solver_id) is None}
        if not overlooked:
            return chosen
        busy |= overlooked


def _fill_up(parts: Parts, tx: Transaction, task: Task, now_ms: int) -> int:
    """A slot that is left may go to band 0, now that whoever was waited for has the other; the number filled."""
    if task.slots_to_open(parts.settings.assignments_max) and tx.all(q.idle_distrusted, count=1):
        return _fill(parts, tx, task, now_ms)
    return 0


def _assign_trap(parts: Parts, tx: Transaction, task: Task, wanted: int, now_ms: int) -> int:
    """Those who have gone longest without one, and of them who stands worst: it may earn its way back."""
    rows = tx.all(q.available_for_trap, modulus_bits=task.modulus_bits, task_id=task.fingerprint, count=CANDIDATES_MAX)
    ranked = candidates(rows)
    if not ranked:
        return 0
    chosen = _choose(tx, ranked, wanted, _taken_address(tx, task), None)
    if not chosen:
        return 0
    _give(parts, tx, task, chosen, ranked, now_ms)
    return len(chosen)


def offer_open_tasks(parts: Parts, tx: Transaction, solvers: Sequence[str], now_ms: int) -> int:
    """Give solvers that have come online or have a hand free the tasks that wait; the number given."""
    if not solvers or tx.one(q.any_open_task) is None:
        return 0  # nearly always, and the cheapest question
    return sum(_offer(parts, tx, solver_id, now_ms) for solver_id in solvers)


def _offer(parts: Parts, tx: Transaction, solver_id: str, now_ms: int) -> int:
    row = tx.one(q.solver, solver_id=solver_id)
    if row is None or not row["is_online"] or row["state"] != "ready":
        return 0
    free = row["capacity"] - row["in_hand"]
    if free <= 0 or _awaits_verdict(tx, row):
        return 0
    solver = candidate(row)
    waiting = tx.all(
        q.open_tasks_for_solver,
        solver_id=solver_id,
        band=row["band"],
        modulus_bits_max=row["modulus_bits_max"],
        is_trap_min=int(row["valid_answers"] < parts.valid_answers_min),
        valid_answers_min=parts.valid_answers_min,
        count=free,
    )
    for task_row in waiting:
        task = Task.of(task_row, parts.cipher)
        _give(parts, tx, task, [solver], [solver], now_ms)
        _fill_up(parts, tx, task, now_ms)
    return len(waiting)


def _awaits_verdict(tx: Transaction, solver: Row) -> bool:
    """Whether a newcomer's last proof is still to be checked: else a liar took task after task until it is."""
    if solver["valid_answers"] >= rules.NEWCOMER_ANSWERS:
        return False
    waiting = tx.one(q.count_waiting_proofs, solver_id=solver["solver_id"])
    return waiting is not None and waiting["number"] > 0


def offer_to_distrusted(parts: Parts, tx: Transaction, now_ms: int) -> None:
    """Somebody has left or pauses: what only waited for him may now go to those in band 0."""
    if tx.one(q.any_open_task) is None:
        return
    for row in tx.all(q.idle_distrusted, count=CANDIDATES_MAX):
        _offer(parts, tx, row["solver_id"], now_ms)


def _available(parts: Parts, tx: Transaction, task: Task, count: int) -> Sequence[Row]:
    return tx.all(
        q.available_solvers,
        modulus_bits=task.modulus_bits,
        client_id=task.client_id,
        task_id=task.fingerprint,
        is_new=int(task.num_assignments == 0),
        valid_answers_min=parts.valid_answers_min,
        newcomer_answers=rules.NEWCOMER_ANSWERS,
        count=count,
    )


def _elsewhere(
    parts: Parts, tx: Transaction, task: Task, ranked: Sequence[Candidate], taken_address: str | None
) -> list[Candidate]:
    """The best solver of another address, when one address fills the whole list: it must not have both slots."""
    address = ranked[0].address if taken_address is None else taken_address
    if len(ranked) < CANDIDATES_MAX or any(solver.address != address for solver in ranked):
        return []
    row = tx.one(
        q.available_elsewhere,
        modulus_bits=task.modulus_bits,
        client_id=task.client_id,
        task_id=task.fingerprint,
        valid_answers_min=parts.valid_answers_min,
        newcomer_answers=rules.NEWCOMER_ANSWERS,
        address=address,
    )
    return [] if row is None else [candidate(row)]


def _newcomer(parts: Parts, tx: Transaction, task: Task) -> Candidate | None:
    row = tx.one(
        q.available_newcomer,
        modulus_bits=task.modulus_bits,
        client_id=task.client_id,
        task_id=task.fingerprint,
        valid_answers_min=parts.valid_answers_min,
        newcomer_answers=rules.NEWCOMER_ANSWERS,
    )
    return None if row is None else candidate(row)


def _taken_address(tx: Transaction, task: Task) -> str | None:
    first, second = task.slots
    taken = second if first is None else first
    if taken is None:
        return None
    row = tx.one(q.address_of_assignment, db_key=taken)
    return None if row is None else row["address"]


def _give(
    parts: Parts,
    tx: Transaction,
    task: Task,
    chosen: Sequence[Candidate],
    ranked: Sequence[Candidate],
    now_ms: int,
) -> None:
    """Put each chosen solver into the next empty slot and write the task's row once; `ranked` explains the choice."""
    expected, last, ranking = task.status, 0, _ranking_text(ranked)
    may_succeed = task.num_assignments > 0 and task.takes_relays
    for solver in chosen:
        slot = task.slots.index(None)
        announced = solver.announced_speed(task.modulus_bits)
        deadline = now_ms + deadline_ms(
            task.squarings, task.modulus_bits, announced, solver.observed_speed, parts.deadline_bounds
        )
        task.slots[slot] = _insert(parts, tx, task, slot, solver, ranking, deadline, now_ms)
        _log_assigned(tx, task, slot, solver, ranked)
        task.num_assignments += 1
        last = max(last, deadline)
        if task.is_trap:
            tx.run(q.trapped, solver_id=solver.solver_id, now=now_ms)
        task.status = TASK.after(task.status, "assign")
    if not task.is_promised:
        task.promised_by, task.is_promised = last, True  # what its client is told now stands, whatever comes
    write_slots(parts, tx, task, expected, now_ms)
    if may_succeed:
        look_for_checkpoint(parts, tx, task, now_ms)


def _insert(
    parts: Parts,
    tx: Transaction,
    task: Task,
    slot: int,
    solver: Candidate,
    ranking: str,
    deadline: int,
    now_ms: int,
) -> int:
    return tx.insert(
        q.insert_assignment,
        task_id=task.fingerprint,
        task_key=task.key,
        solver_id=solver.solver_id,
        slot=slot + 1,
        status=ASSIGNMENT.first,
        deadline=deadline,
        complaint_deadline=deadline + parts.settings.complaint_ms,
        ranking=ranking,
        assigned_at=now_ms,
    )


def _log_assigned(tx: Transaction, task: Task, slot: int, solver: Candidate, ranked: Sequence[Candidate]) -> None:
    log(
        tx,
        "task.assigned",
        task=task.fingerprint,
        assignment=task.slots[slot],
        solver=solver.solver_id,
        slot=slot + 1,
        rank=1 + (ranked.index(solver) if solver in ranked else len(ranked)),
        candidates=len(ranked),
    )


def _ranking_text(ranked: Sequence[Candidate]) -> str:
    """What was seen when the choice was made, best first: solver, band, score, in hand, last served."""
    rows = [[c.solver_id, c.band, c.reputation, c.in_hand, c.last_assigned_ms] for c in ranked]
    return orjson.dumps(rows).decode()


def write_slots(parts: Parts, tx: Transaction, task: Task, expected: str, now_ms: int) -> None:
    """Write a task's slots, counters and status; it must still be in status `expected`."""
    open_slots = task.slots_to_open(parts.settings.assignments_max)
    changed = tx.run(
        q.update_task_slots,
        db_key=task.key,
        first_assignment_id=task.slots[0],
        second_assignment_id=task.slots[1],
        open_slots=open_slots,
        num_assignments=task.num_assignments,
        num_returned=task.num_returned,
        promised_by=task.promised_by,
        status=task.status,
        updated_at=now_ms,
        expected=expected,
    )
    assert changed == 1, f"task {task.fingerprint} is no longer {expected}"


def end_assignment(tx: Transaction, assignment: Row, event: str, now_ms: int, *, tell: bool) -> None:
    """Move one live assignment by `event`, and tell its solver when `tell`.

    `assignment` has db_key, solver_id and status. What it had in hand is put down by the trigger
    `on_task_assignment_end`.
    """
    key, solver_id, status = assignment["db_key"], assignment["solver_id"], assignment["status"]
    after = ASSIGNMENT.after(status, event)
    changed = tx.run(q.end_assignment, db_key=key, status=after, ended_at=now_ms, expected=status)
    assert changed == 1, f"assignment {key} is no longer {status}"
    if tell:
        outbox.push(tx, solver_id, Endpoint.SOLVER, "assignment_ended", str(key), now_ms, detail=after)


def empty_slots(task: Task, keys: Sequence[int]) -> None:
    """Take these assignments out of the task's slots."""
    for index in range(SLOTS):
        if task.slots[index] in keys:
            task.slots[index] = None
    if task.slots == [None, None]:
        task.status = TASK.after(task.status, "unassign")
