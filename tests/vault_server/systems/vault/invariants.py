"""What is true of the vault's rows after every order, whatever came before. Each check says what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.vault_server.systems.vault.harness import Vault
from vault_server.systems.vault.rules import Judgement, judgement_for, slots_to_open
from vault_server.systems.vault.states import IN_HAND, OPEN

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Rows:
    """Everything that is in the database."""

    tasks: Sequence[Row]
    assignments: Sequence[Row]
    solvers: Sequence[Row]
    clients: Sequence[Row]
    outbox: Sequence[Row]
    deadlines: Sequence[Row]

    @classmethod
    async def of(cls, vault: Vault) -> Rows:
        """Read it."""
        names = ("tasks", "task_assignments", "solvers", "clients", "outbox", "deadlines")
        return cls(*[await vault.rows(f"SELECT * FROM {name}") for name in names])

    def of_task(self, task: Row) -> list[Row]:
        """All assignments of a task."""
        return [row for row in self.assignments if row["task_id"] == task["fingerprint"]]

    def live(self, task: Row) -> list[Row]:
        """Those that are still in their slot."""
        return [row for row in self.of_task(task) if row["status"] in (*IN_HAND, "delivered")]


def check(rows: Rows, *, assignments_max: int, squarings: Mapping[str, int], computed_max: int) -> None:
    """All of them. `squarings` has t of every task."""
    _nobody_twice(rows)
    _counters_are_counts(rows)
    _slots_hold_what_is_live(rows, assignments_max)
    _everything_live_has_its_deadline_and_request(rows)
    _whoever_can_work_works(rows)
    for task in rows.tasks:
        way = judgement_for(squarings[task["fingerprint"]], task["commitment"] is not None, computed_max)
        _is_not_stuck(rows, task, way)
        _an_end_has_its_reason(task, way)


def _nobody_twice(rows: Rows) -> None:
    pairs = Counter((row["task_id"], row["solver_id"]) for row in rows.assignments)
    assert set(pairs.values()) <= {1}, pairs
    owners = {task["fingerprint"]: task["client_id"] for task in rows.tasks}
    assert all(owners[row["task_id"]] != row["solver_id"] for row in rows.assignments)
    for task in rows.tasks:
        slots = [row["slot"] for row in rows.live(task)]
        assert len(slots) == len(set(slots)), (task["fingerprint"], slots)


def _counters_are_counts(rows: Rows) -> None:
    in_hand = Counter(row["solver_id"] for row in rows.assignments if row["status"] in IN_HAND)
    taken = Counter(row["solver_id"] for row in rows.assignments)
    for solver in rows.solvers:
        key = solver["solver_id"]
        assert (solver["in_hand"], solver["tasks_taken"]) == (in_hand[key], taken[key]), dict(solver)
    open_tasks = Counter(task["client_id"] for task in rows.tasks if task["status"] in OPEN)
    requested = Counter(task["client_id"] for task in rows.tasks)
    for client in rows.clients:
        key = client["client_id"]
        assert (client["open_tasks"], client["tasks_requested"]) == (open_tasks[key], requested[key]), dict(client)
    for task in rows.tasks:
        assert task["num_assignments"] == len(rows.of_task(task))


def _slots_hold_what_is_live(rows: Rows, assignments_max: int) -> None:
    for task in rows.tasks:
        slots = [task["first_assignment_id"], task["second_assignment_id"]]
        if task["status"] not in OPEN:
            assert task["open_slots"] == 0
            assert not [row for row in rows.of_task(task) if row["status"] in IN_HAND], "at work on an ended task"
            continue
        held = {row["slot"]: row["db_key"] for row in rows.live(task)}
        assert slots == [held.get(1), held.get(2)]
        returned = sum(row["status"] == "released" for row in rows.of_task(task))  # a task that is open releases nobody
        assert task["num_returned"] == returned
        spent = task["num_assignments"] - returned
        assert task["open_slots"] == slots_to_open(slots.count(None), spent, assignments_max)
        assert spent <= assignments_max
        assert (task["status"] == "waiting") == (slots == [None, None])


def _everything_live_has_its_deadline_and_request(rows: Rows) -> None:
    in_hand = [row for row in rows.assignments if row["status"] in IN_HAND]
    due = sorted((row["subject"], row["due"]) for row in rows.deadlines if row["name"] == "expire_assignment")
    assert due == sorted((str(row["db_key"]), row["deadline"]) for row in in_hand)
    requests = sorted(
        (push["receiver"], push["subject"], push["standing"]) for push in rows.outbox if push["kind"] == "tlp_request"
    )
    assert requests == sorted((f"key:{row['solver_id']}", str(row["db_key"]), 1) for row in in_hand)
    settling = sorted(row["subject"] for row in rows.deadlines if row["name"] == "settle_task")
    assert settling == sorted(task["fingerprint"] for task in rows.tasks if task["status"] == "answered")
    for row in rows.assignments:
        assert (row["ended_at"] is None) == (row["status"] in (*IN_HAND, "delivered")), dict(row)


def _whoever_can_work_works(rows: Rows) -> None:
    """No open slot beside a solver who is ready for it."""
    ready = [s for s in rows.solvers if s["is_online"] and s["state"] == "ready" and s["in_hand"] < s["capacity"]]
    for task in rows.tasks:
        had = {row["solver_id"] for row in rows.of_task(task)} | {task["client_id"]}
        idle = [
            s["solver_id"] for s in ready if s["solver_id"] not in had and s["modulus_bits_max"] >= task["modulus_bits"]
        ]
        assert task["open_slots"] == 0 or not idle, (task["fingerprint"], idle)


def _is_not_stuck(rows: Rows, task: Row, way: Judgement) -> None:
    if task["status"] not in OPEN:
        return
    live = rows.live(task)
    at_work = any(row["status"] in IN_HAND for row in live)
    at_the_judge = way is Judgement.COMPUTED and any(row["status"] == "delivered" for row in live)
    assert at_work or at_the_judge or task["open_slots"] > 0, (dict(task), live)


def _an_end_has_its_reason(task: Row, way: Judgement) -> None:
    answered = task["status"] in ("answered", "settled")
    assert (task["answer"] is not None) == answered
    assert (task["reason"] is not None) == (task["status"] == "failed")
    if answered:
        assert task["judged_by"] == way.value
