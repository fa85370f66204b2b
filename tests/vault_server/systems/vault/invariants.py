"""What is true of the rows after every order: what `vault-server check` verifies, and what needs settings too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.vault_server.systems.vault.harness import Vault
from vault_server.core.operation import Reader
from vault_server.exchange import invariants as of_the_exchange
from vault_server.systems.vault import invariants as of_the_vault
from vault_server.systems.vault.evidence import DISTRUSTED
from vault_server.systems.vault.rules import NEWCOMER_ANSWERS, Judgement, judgement_for, slots_to_open
from vault_server.systems.vault.states import IN_HAND, OPEN

Row = Mapping[str, Any]


def violations(reader: Reader) -> list[str]:
    """What `vault-server check` would say of these rows."""
    invariants = [*of_the_exchange.INVARIANTS, *of_the_vault.INVARIANTS]
    return [f"{each.name}: {found}" for each in invariants for found in each.violations(reader)]


@dataclass(frozen=True)
class Rows:
    """What is in the database, and what breaks an invariant in it."""

    tasks: Sequence[Row]
    assignments: Sequence[Row]
    solvers: Sequence[Row]
    proofs_waiting: Sequence[int]
    due: Sequence[str]
    violations: Sequence[str]

    @classmethod
    async def of(cls, vault: Vault) -> Rows:
        """Read it."""
        return cls(
            tasks=await vault.rows("SELECT * FROM tasks"),
            assignments=await vault.rows("SELECT * FROM task_assignments"),
            solvers=await vault.rows("SELECT * FROM solvers"),
            proofs_waiting=[
                row["assignment_id"] for row in await vault.rows("SELECT * FROM proofs WHERE status = 'waiting'")
            ],
            due=[
                row["name"]
                for row in await vault.rows("SELECT name FROM deadlines WHERE due <= :now", now=vault.now_ms)
            ],
            violations=await vault.database.read(violations),
        )

    def of_task(self, task: Row) -> list[Row]:
        """All assignments of a task."""
        return [row for row in self.assignments if row["task_id"] == task["fingerprint"]]

    def live(self, task: Row) -> list[Row]:
        """Those that are still in their slot."""
        return [row for row in self.of_task(task) if row["status"] in (*IN_HAND, "delivered")]


def check(rows: Rows, *, assignments_max: int, squarings: Mapping[str, int], computed_max: int) -> None:
    """All of them. `squarings` has t of every task."""
    assert rows.violations == []
    _as_many_slots_are_open_as_may_be(rows, assignments_max)
    _whoever_can_work_works(rows)
    for task in rows.tasks:
        way = judgement_for(
            squarings[task["fingerprint"]],
            has_commitment=task["commitment"] is not None,
            wants_proof=task["proof"] == "required",
            computed_squarings_max=computed_max,
        )
        if task["status"] in ("answered", "settled"):
            assert task["judged_by"] in (way.value, Judgement.PROOF.value)
        _is_not_stuck(rows, task, way)


def _as_many_slots_are_open_as_may_be(rows: Rows, assignments_max: int) -> None:
    for task in rows.tasks:
        if task["status"] not in OPEN:
            assert task["open_slots"] == 0
            continue
        spent = task["num_assignments"] - task["num_returned"]
        empty = [task["first_assignment_id"], task["second_assignment_id"]].count(None)
        assert task["open_slots"] == slots_to_open(empty, spent, assignments_max)
        assert spent <= assignments_max


def _whoever_can_work_works(rows: Rows) -> None:
    """No open slot beside a solver who is ready for it; below ten points one waits until nobody better is left, and a
    newcomer until its last proof is checked."""
    if DISTRUSTED in rows.due:
        return  # that is being seen to
    ready = [s for s in rows.solvers if s["is_online"] and s["state"] == "ready" and s["capacity"] > 0]
    for task in rows.tasks:
        had = {row["solver_id"] for row in rows.of_task(task)} | {task["client_id"]}
        able = [s for s in ready if s["solver_id"] not in had and s["modulus_bits_max"] >= task["modulus_bits"]]
        trusted = [s for s in able if s["band"] > 0]
        idle = [
            s["solver_id"] for s in trusted or able if s["in_hand"] < s["capacity"] and not _awaits_verdict(rows, s)
        ]
        assert task["open_slots"] == 0 or not idle, (task["fingerprint"], idle)


def _awaits_verdict(rows: Rows, solver: Row) -> bool:
    own = {row["db_key"] for row in rows.assignments if row["solver_id"] == solver["solver_id"]}
    return bool(solver["valid_answers"] < NEWCOMER_ANSWERS and own & set(rows.proofs_waiting))


def _is_not_stuck(rows: Rows, task: Row, way: Judgement) -> None:
    if task["status"] not in OPEN:
        return
    live = rows.live(task)
    at_work = any(row["status"] in IN_HAND for row in live)
    at_the_judge = any(
        row["status"] == "delivered" and (way is Judgement.COMPUTED or row["db_key"] in rows.proofs_waiting)
        for row in live
    )
    assert at_work or at_the_judge or task["open_slots"] > 0, (dict(task), live)
