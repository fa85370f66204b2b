"""Whom a relayed checkpoint is handed to: who was given the task after the solver that sent it, and has come less far.

What is handed on is kept as the successor's own checkpoint, already checked. So nobody is ever blamed for residues that
the server gave him, and the giver's row may go.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol.prover import kept_indices
from protocol.puzzle import effort_seconds
from vault_server.core.operation import Endpoint, JobDue, Row, Transaction, log
from vault_server.exchange import outbox
from vault_server.systems.vault.records import Parts, Task, open_residues, q
from vault_server.systems.vault.relays import Kept, keep_checkpoint
from vault_server.systems.vault.rules import NEWCOMER_ANSWERS
from vault_server.systems.vault.states import RELAY

STRANGERS_SECONDS_MAX = 10.0
"""On the reference machine: what checking a newcomer's checkpoint may cost."""
CHECK = "check_checkpoint"
OFFERED = "checkpoint_offered"


def look_for_checkpoint(parts: Parts, tx: Transaction, task: Task, now_ms: int) -> None:
    """Somebody could go on from a checkpoint of this task: hand the farthest on, once it is checked.

    All that could help are checked, each supplier's in his turn: a false one that claims to be the farthest must not
    keep a right one waiting.
    """
    relays = [row for row in tx.all(q.relays_of_task, task_id=task.fingerprint) if row["status"] != "refuted"]
    for row in sorted(relays, key=lambda row: _place(task, row, row["count"]), reverse=True):
        if not _behind(tx, task, row, _place(task, row, row["count"])):
            continue
        if row["checked"] == row["count"]:
            hand_on(parts, tx, task, row, now_ms)
            return
        if row["status"] == RELAY.first and _is_worth_checking(task, row):
            _have_checked(tx, row)


def _is_worth_checking(task: Task, row: Row) -> bool:
    """A check costs one spacing of the plan. A key that has shown nothing yet is given little of the server's time."""
    spacing = effort_seconds(task.squarings >> row["depth"], task.modulus_bits)
    return spacing <= STRANGERS_SECONDS_MAX or row["valid_answers"] >= NEWCOMER_ANSWERS


def _have_checked(tx: Transaction, row: Row) -> None:
    key, status = row["assignment_id"], RELAY.after(row["status"], "check")
    changed = tx.run(q.check_relay, assignment_id=key, status=status, expected=row["status"])
    assert changed == 1, f"the checkpoint of assignment {key} is no longer {row['status']}"
    tx.after(JobDue(CHECK, str(key), row["solver_id"]))


def hand_on(parts: Parts, tx: Transaction, task: Task, row: Row, now_ms: int) -> None:
    """Give what is checked of this checkpoint to everybody who could go on from it."""
    kept = tx.one(q.relay, assignment_id=row["assignment_id"])
    assert kept is not None, "the task is locked, and it has not ended"
    count = kept["checked"]
    if count == 0:
        return
    whole = open_residues(parts.cipher, kept)
    residues = whole[: len(whole) // kept["count"] * count]
    place = _place(task, row, count)
    for successor in _behind(tx, task, row, place):
        key, solver_id = successor["db_key"], successor["solver_id"]
        given = Kept(key, task.fingerprint, solver_id, kept["depth"], residues, count, count)
        keep_checkpoint(parts, tx, given, now_ms)
        tx.run(q.give_head_start, db_key=key, head_start=place / task.squarings)
        outbox.withdraw(tx, solver_id, Endpoint.SOLVER, OFFERED, str(key))
        outbox.push(tx, solver_id, Endpoint.SOLVER, OFFERED, str(key), now_ms)
        log(tx, "checkpoint.offered", task=task.fingerprint, assignment=key, solver=solver_id, residues=count)


def _behind(tx: Transaction, task: Task, row: Row, place: int) -> Sequence[Row]:
    """Who was given the task after this checkpoint's solver, is at work, and has relayed less than up to `place`."""
    later = tx.all(q.successors, task_id=task.fingerprint, assigned_at=row["assigned_at"])
    return [s for s in later if s["relay_status"] != "refuted" and _place(task, s, s["count"]) < place]


def _place(task: Task, row: Row, count: int) -> int:
    """The squarings after which the first `count` residues end."""
    return kept_indices(task.squarings, row["depth"])[count - 1] if count else 0
