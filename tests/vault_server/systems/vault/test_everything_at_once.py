"""Clients, solvers, time and restarts in any order: the rows stay consistent, nobody waits for nothing, no answer is
wrong that arithmetic could have judged."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.errors import Code, MessageError
from protocol.vault import CancelTask, PuzzleAnswered, SubmitPuzzle, TaskFailed
from tests.vault_server.people import client, solver
from tests.vault_server.systems.vault.harness import (
    AGREED,
    BY_JOB,
    COMMITTED,
    COMPUTED,
    HOUR_MS,
    Vault,
    answer_to,
    settings_for,
)
from tests.vault_server.systems.vault.invariants import Rows, check
from vault_server.core.operation import SERVER, Caller, JobDue
from vault_server.storage.sqlite import SqliteDatabase
from vault_server.systems.vault.orders import StartServing

T = TypeVar("T")

CLIENTS = [client("ann"), client("bob")]
SOLVERS = [solver("ann"), *(solver(name, f"address {number % 3}") for number, name in enumerate("bcde"))]
"""The first is also a client, by the same key."""

PUZZLES = [COMPUTED, BY_JOB, COMMITTED, AGREED]
RIGHT = {order.t: answer_to(order) for order in PUZZLES}  # by t: base and product are the same

somebody = st.sampled_from(SOLVERS)
any_of_them = st.integers(0, 1000)
"""Picks one of what there is, modulo how many there are."""


class EverythingAtOnce(RuleBasedStateMachine):
    """Each rule is one order; refusals that are possible at any time are part of the game."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(prefix="vault-everything-")
        self.orders: dict[str, SubmitPuzzle] = {}
        self.given: dict[str, list[int]] = {}
        self.online: set[str] = set()
        self.vault: Vault

    @initialize(assignments_max=st.integers(2, 5), open_tasks_max=st.integers(2, 6))
    def start(self, assignments_max: int, open_tasks_max: int) -> None:
        chosen = settings_for(
            Path(self.folder.name), assignments_max=assignments_max, open_tasks_max=open_tasks_max, capacity_max=3
        )
        self.vault = Vault(SqliteDatabase(chosen.database), chosen)
        self.do(self.vault.database.start())
        for one in SOLVERS[1:3]:
            self.join(one, 2)

    def teardown(self) -> None:
        if hasattr(self, "vault"):
            self.do(self.vault.database.stop())
        self.runner.close()
        self.folder.cleanup()

    def do(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(doing)

    def one_of(self, status: str, which: int) -> dict[str, Any] | None:
        """An assignment in a status."""
        rows = self.do(
            self.vault.rows("SELECT * FROM task_assignments WHERE status = :status ORDER BY db_key", status=status)
        )
        return rows[which % len(rows)] if rows else None

    def in_hand(self, which: int) -> dict[str, Any] | None:
        return self.one_of("offered", which) or self.one_of("accepted", which)

    # clients

    @rule(who=st.sampled_from(CLIENTS), order=st.sampled_from(PUZZLES))
    def submit(self, who: Caller, order: SubmitPuzzle) -> None:
        if self.count_open(who) < self.vault.settings.open_tasks_max:
            self.orders[self.do(self.vault.submit(who, order)).task] = order
        else:
            assert self.refused(self.vault.submit(who, order)) is Code.TOO_MANY_OPEN_TASKS

    def count_open(self, who: Caller) -> int:
        of_client = "SELECT * FROM tasks WHERE client_id = :client AND status IN ('waiting', 'assigned')"
        return len(self.do(self.vault.rows(of_client, client=who.fingerprint)))

    def refused(self, doing: Coroutine[Any, Any, Any]) -> Code:
        with pytest.raises(MessageError) as caught:
            self.do(doing)
        return caught.value.code

    @precondition(lambda self: self.orders)
    @rule(which=any_of_them)
    def cancel(self, which: int) -> None:
        task = list(self.orders)[which % len(self.orders)]
        row = self.do(self.vault.task(task))
        [who] = [one for one in CLIENTS if one.fingerprint == row["client_id"]]
        cancelling = self.vault.give(who, CancelTask(task=task))
        if row["status"] in ("waiting", "assigned"):
            self.do(cancelling)
        else:
            assert self.refused(cancelling) is Code.TASK_ENDED

    @rule(who=st.sampled_from([*CLIENTS, *SOLVERS]))
    def acknowledge(self, who: Caller) -> None:
        offers = self.do(self.vault.offers(who))
        self.do(self.vault.acknowledge(who))
        assert self.do(self.vault.pushes(who)) == offers

    # solvers

    @rule(who=somebody, capacity=st.integers(1, 4))
    def join(self, who: Caller, capacity: int) -> None:
        self.do(self.vault.join(who, capacity))
        self.online.add(who.fingerprint)

    @precondition(lambda self: self.online)
    @rule(
        who=somebody,
        capacity=st.integers(0, 4),
        bits=st.sampled_from([64, 2048]),
        state=st.sampled_from(["ready", "ready", "paused", "draining"]),
    )
    def update(self, who: Caller, capacity: int, bits: int, state: str) -> None:
        if who.fingerprint in self.online:
            self.do(self.vault.update(who, capacity, bits=bits, state=state))

    @rule(who=somebody)
    def leave(self, who: Caller) -> None:
        self.do(self.vault.leave(who))
        self.online.discard(who.fingerprint)

    @rule(which=any_of_them)
    def accept(self, which: int) -> None:
        if row := self.in_hand(which):
            self.do(self.vault.accept(self.holder(row), row["db_key"]))

    @rule(which=any_of_them, mistake=st.sampled_from([0, 0, 0, 1, 1, 2]))
    def answer(self, which: int, mistake: int) -> None:
        if row := self.in_hand(which):
            answer = RIGHT[self.orders[row["task_id"]].t] + mistake
            self.do(self.vault.answer(self.holder(row), row["db_key"], answer))
            self.given.setdefault(row["task_id"], []).append(answer)

    @rule(which=any_of_them)
    def hand_back(self, which: int) -> None:
        if row := self.in_hand(which):
            self.do(self.vault.hand_back(self.holder(row), row["db_key"]))

    @rule(which=any_of_them, status=st.sampled_from(["expired", "released", "valid", "invalid", "unproved"]))
    def answer_what_has_ended(self, which: int, status: str) -> None:
        if row := self.one_of(status, which):
            late = status in ("expired", "released")
            code = self.refused(self.vault.answer(self.holder(row), row["db_key"], 7))
            assert code is (Code.ASSIGNMENT_ENDED if late else Code.ALREADY_ANSWERED)

    def holder(self, row: dict[str, Any]) -> Caller:
        [who] = [one for one in SOLVERS if one.fingerprint == row["solver_id"]]
        return who

    # the server

    @rule(which=any_of_them)
    def judge_one(self, which: int) -> None:
        if jobs := self.vault.jobs:
            self.do(self.vault.judge_one(jobs.pop(which % len(jobs))))

    @rule(ms=st.sampled_from([1, 1000, 61_000, HOUR_MS, 20 * HOUR_MS]))
    def wait(self, ms: int) -> None:
        self.do(self.vault.wait(ms))

    @rule()
    def restart(self) -> None:
        self.do(self.vault.database.stop())
        self.do(self.vault.database.start())
        self.do(self.vault.give(SERVER, StartServing()))
        self.online.clear()
        self.vault.jobs = [JobDue("judge_answer", key) for key in self.do(self.vault.pending_jobs())]

    # what stays true

    @invariant()
    def rows_are_consistent(self) -> None:
        if hasattr(self, "vault"):
            rows = self.do(Rows.of(self.vault))
            chosen = self.vault.settings
            check(
                rows,
                assignments_max=chosen.assignments_max,
                squarings={task: order.t for task, order in self.orders.items()},
                computed_max=chosen.computed_squarings_max,
            )

    @invariant()
    def clients_are_told_the_truth(self) -> None:
        if not hasattr(self, "vault"):
            return
        for who in CLIENTS:
            for push in self.do(self.vault.pushes(who)):
                assert isinstance(push, (PuzzleAnswered, TaskFailed))
                if isinstance(push, PuzzleAnswered):
                    self.is_right(push)

    def is_right(self, push: PuzzleAnswered) -> None:
        if push.judged_by == "agreed":
            assert self.given[push.task].count(push.answer) >= 2
        else:
            assert push.answer == RIGHT[self.orders[push.task].t]


EverythingAtOnce.TestCase.settings = settings(
    max_examples=40, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEverythingAtOnce = EverythingAtOnce.TestCase
