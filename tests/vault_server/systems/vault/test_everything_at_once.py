"""Clients, solvers, complaints, time and restarts in any order: the rows stay consistent, nobody waits for nothing,
what was said is so and stays so, and only arithmetic convicts."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from protocol.errors import Code, MessageError
from protocol.proof import Proof
from protocol.prover import kept_indices
from protocol.puzzle import square_repeatedly
from protocol.relay import encode
from protocol.vault import (
    CancelTask,
    Complain,
    PuzzleAnswered,
    PuzzleOffered,
    RelayCheckpoint,
    RespondToComplaint,
    SubmitPuzzle,
)
from tests.vault_server.conftest import NewDatabase
from tests.vault_server.people import client, solver
from tests.vault_server.systems.vault.harness import (
    AGREED,
    BY_JOB,
    COMMITTED,
    COMPUTED,
    HOUR_MS,
    MODULUS,
    PROVED,
    P,
    Q,
    R,
    Vault,
    answer_to,
    proof_of,
    settings_for,
)
from tests.vault_server.systems.vault.invariants import Rows, check
from tests.vault_server.systems.vault.witness import Witness
from vault_server.core.operation import Caller
from vault_server.exchange.outbox import Acknowledged
from vault_server.systems.vault.states import IN_HAND

T = TypeVar("T")

CLIENTS = [client("ann"), client("bob")]
SOLVERS = [solver("ann"), *(solver(name, f"address {number % 3}") for number, name in enumerate("bcde"))]
"""The first is also a client, by the same key."""

PUZZLES = [COMPUTED, BY_JOB, COMMITTED, AGREED, PROVED, PROVED]
RIGHT = {order.t: answer_to(order) for order in PUZZLES}  # by t: base and product are the same

DEPTH = 3
RESIDUES = [square_repeatedly(PROVED.baseg, place, MODULUS) for place in kept_indices(PROVED.t, DEPTH)]
"""What solvers relay of a proved task, if they are honest."""

COMPLAINED = {
    Code.BAD_FIELD,
    Code.COMPLAINT_EARLY,
    Code.COMPLAINT_EXISTS,
    Code.COMPLAINT_LATE,
    Code.NOTHING_TO_COMPLAIN,
    Code.NOT_A_FACTOR,
    Code.TOO_MANY_COMPLAINTS,
}
"""What a complaint can meet."""

somebody = st.sampled_from(SOLVERS)
any_of_them = st.integers(0, 1000)
"""Picks one of what there is, modulo how many there are."""
some_factor = st.sampled_from([None, None, None, P, Q, R])
"""What a client reveals with a complaint: nothing, a factor, or no factor."""


LATE = (
    "SELECT * FROM task_assignments WHERE status = 'released' AND answer IS NULL AND late_until >= :now ORDER BY db_key"
)
"""Who was let go, and may still prove an answer."""

PARTIES = (
    "SELECT c.id, c.kind, c.status, p.response, a.db_key, a.solver_id FROM complaints c"
    " JOIN complaint_parties p ON p.complaint_id = c.id JOIN task_assignments a ON a.db_key = p.assignment_id"
    " ORDER BY c.status, c.id, a.db_key"
)
"""Who may be heard, those that are asked first."""


async def _refused_or_not(doing: Coroutine[Any, Any, T]) -> T | MessageError:
    try:
        return await doing
    except MessageError as refusal:
        return refusal


class EverythingAtOnce(RuleBasedStateMachine):
    """Each rule is one order; refusals that are possible at any time are part of the game."""

    def __init__(self, empty_database: NewDatabase) -> None:
        super().__init__()
        self.empty_database = empty_database
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(prefix="vault-everything-")
        self.orders: dict[str, SubmitPuzzle] = {}
        self.witness = Witness(RIGHT, encode(RESIDUES, MODULUS))
        self.online: set[str] = set()
        self.vault: Vault

    @initialize(assignments_max=st.integers(2, 5), open_tasks_max=st.integers(2, 6), rejected_max=st.integers(1, 9))
    def start(self, assignments_max: int, open_tasks_max: int, rejected_max: int) -> None:
        chosen = settings_for(
            Path(self.folder.name),
            assignments_max=assignments_max,
            open_tasks_max=open_tasks_max,
            capacity_max=3,
            complaints_rejected_max=rejected_max,
            relay_interval_ms=0,
            trap_share=0.0,  # nobody here knows their answers
        )
        self.vault = Vault(self.empty_database(), chosen)
        self.do(self.vault.database.start())
        for one in SOLVERS[1:4]:
            self.join(one, 3)

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
    def ask(self, who: Caller, order: SubmitPuzzle) -> None:
        self.submit(who, order)

    def submit(self, who: Caller, order: SubmitPuzzle) -> str | None:
        """The task, if its client may have one more."""
        if self.count_open(who) == self.vault.settings.open_tasks_max:
            assert self.refused(self.vault.submit(who, order)) is Code.TOO_MANY_OPEN_TASKS
            return None
        reply = self.do(self.vault.submit(who, order))
        self.orders[reply.task] = order
        self.witness.accepted[reply.task] = reply, order.t
        return reply.task

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
        cancelling = self.vault.give(self.client_of(row), CancelTask(task=task))
        if row["status"] in ("waiting", "assigned"):
            self.do(cancelling)
        else:
            assert self.refused(cancelling) is Code.TASK_ENDED

    @rule(who=st.sampled_from([*CLIENTS, *SOLVERS]), every=st.integers(1, 3))
    def acknowledge(self, who: Caller, every: int) -> None:
        """Some of what waits; what a solver is to work on stays."""
        waiting = [(seq, push) for seq, push in self.do(self.vault.waiting(who)) if seq % every == 0]
        for seq, push in waiting:
            self.do(self.vault.give(who, Acknowledged((seq,))))
            if not isinstance(push, PuzzleOffered):
                self.witness.acknowledged[seq] = who.subject, who.endpoint.value, push
        left = dict(self.do(self.vault.waiting(who)))
        assert all((seq in left) == isinstance(push, PuzzleOffered) for seq, push in waiting)

    @rule(
        who=st.sampled_from(CLIENTS),
        mistakes=st.sampled_from([(0, 0), (1, 1), (0, 1, 1), (1, 0, 0), (1, 0, 1)]),
        complains=st.booleans(),
        factor=st.sampled_from([None, P, Q]),
    )
    def agree(self, who: Caller, mistakes: tuple[int, ...], complains: bool, factor: int | None) -> None:
        """Solvers come and two of them agree on a task at once, rightly or not, and its client may complain."""
        for one in SOLVERS[1:]:
            self.join(one, 3)
        if (task := self.submit(who, AGREED)) is None:
            return
        for mistake in mistakes:
            rows = [row for row in self.do(self.vault.assignments(task)) if row["status"] in IN_HAND]
            if rows:
                self.answer_it(rows[0], RIGHT[AGREED.t] + mistake)
        if complains:
            self.complain_of(self.do(self.vault.task(task)), "wrong_answer", factor)

    @precondition(lambda self: self.orders)
    @rule(which=any_of_them, kind=st.sampled_from(["late", "no_answer", "wrong_answer"]), factor=some_factor)
    def complain(self, which: int, kind: str, factor: int | None) -> None:
        rows = self.do(self.vault.rows("SELECT * FROM tasks ORDER BY db_key"))
        self.complain_of(rows[which % len(rows)], kind, factor)

    @rule(which=any_of_them, factor=some_factor)
    def complain_of_an_answer(self, which: int, factor: int | None) -> None:
        if rows := self.do(self.vault.rows("SELECT * FROM tasks WHERE status = 'answered' ORDER BY db_key")):
            self.complain_of(rows[which % len(rows)], "wrong_answer", factor)

    def complain_of(self, row: dict[str, Any], kind: str, factor: int | None) -> None:
        until = row["complaint_deadline"]
        is_over = row["status"] in ("cancelled", "settled") or (until is not None and self.vault.now_ms > until)
        complaining = self.vault.give(self.client_of(row), Complain(task=row["fingerprint"], kind=kind, factor=factor))
        taken = self.do(_refused_or_not(complaining))
        if isinstance(taken, MessageError):
            assert taken.code in COMPLAINED
            before = (Code.COMPLAINT_EXISTS, Code.BAD_FIELD, Code.NOT_A_FACTOR)
            assert not is_over or taken.code in (Code.COMPLAINT_LATE, *before)
        else:
            assert not is_over
            assert factor in (None, P, Q)
            self.witness.complaints[taken.complaint] = taken

    def client_of(self, row: dict[str, Any]) -> Caller:
        [who] = [one for one in CLIENTS if one.fingerprint == row["client_id"]]
        return who

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
            self.answer_it(row, RIGHT[self.orders[row["task_id"]].t] + mistake)

    def answer_it(self, row: dict[str, Any], answer: int) -> None:
        verdict = self.do(self.vault.answer(self.holder(row), row["db_key"], answer))
        self.witness.sent[row["db_key"]] = answer
        if verdict != "pending":
            self.witness.replied[row["db_key"]] = verdict

    @rule(
        which=any_of_them, mistake=st.sampled_from([0, 0, 0, 0, 1]), is_whole=st.sampled_from([True, True, True, False])
    )
    def prove(self, which: int, mistake: int, is_whole: bool) -> None:
        row = self.in_hand(which)
        if row is not None and self.orders[row["task_id"]] in (PROVED, AGREED, COMMITTED):
            self.prove_it(row, mistake, is_whole)

    @rule(first=any_of_them, ms=st.sampled_from([1, 1000, 61_000]), wait=st.sampled_from([0, 100, 6100, 6101]))
    def prove_late(self, first: int, ms: int, wait: int) -> None:
        """Two are at work, one is first, and the other still proves its answer, in time or not."""
        for one in SOLVERS[1:]:
            self.join(one, 3)
        if (task := self.submit(CLIENTS[1], PROVED)) is None:
            return
        self.do(self.vault.wait(ms))
        rows = [row for row in self.do(self.vault.assignments(task)) if row["status"] in IN_HAND]
        if not rows:
            return
        self.prove_it(rows.pop(first % len(rows)), 0, is_whole=True)
        self.do(self.vault.judge())
        self.do(self.vault.wait(wait))
        for row in self.do(self.vault.rows(LATE, now=self.vault.now_ms)):
            self.prove_it(row, 0, is_whole=first % 3 > 0)

    def prove_it(self, row: dict[str, Any], mistake: int, is_whole: bool) -> None:
        key, right = row["db_key"], RIGHT[self.orders[row["task_id"]].t]
        proof = self.proof_for(key, is_whole)
        verdict = self.do(self.vault.prove(self.holder(row), key, answer=right + mistake, proof=proof))
        self.witness.sent[key] = right + mistake
        if verdict == "pending":
            self.witness.proved[key] = is_whole and not mistake
        else:
            self.witness.replied[key] = verdict

    def proof_for(self, key: int, is_whole: bool) -> bytes:
        """The right one, or one that does not hold."""
        statement = self.do(self.vault.statement(key))
        right = Proof.decode(proof_of(statement), statement.puzzle)
        z = right.z if is_whole else right.z - 1
        return Proof(z, right.midpoints).encode(statement.puzzle.modulus)

    @rule(which=any_of_them, count=st.integers(1, len(RESIDUES)), mistake=st.sampled_from([0, 0, 0, 1]))
    def relay(self, which: int, count: int, mistake: int) -> None:
        """The first residues, the last of them right or not; what differs from those it sent before is refused."""
        row = self.in_hand(which)
        if row is not None and self.orders[row["task_id"]] is PROVED:
            self.relay_of(row, count, mistake)

    def relay_of(self, row: dict[str, Any], count: int, mistake: int) -> None:
        residues = [*RESIDUES[: count - 1], RESIDUES[count - 1] + mistake]
        order = RelayCheckpoint(assignment=row["db_key"], depth=DEPTH, first=0, residues=encode(residues, MODULUS))
        taken = self.do(_refused_or_not(self.vault.give(self.holder(row), order)))
        if isinstance(taken, MessageError):
            assert taken.code is Code.CHECKPOINT_REFUSED
        elif mistake:
            self.witness.misleading.add(row["db_key"])

    @rule(who=st.sampled_from(CLIENTS), count=st.integers(1, len(RESIDUES)), mistake=st.sampled_from([0, 0, 1]))
    def succeed(self, who: Caller, count: int, mistake: int) -> None:
        """Solvers work on a task, they relay, one of them goes, and another comes."""
        for one in SOLVERS[1:4]:
            self.join(one, 3)
        if (task := self.submit(who, PROVED)) is None:
            return
        self.do(self.vault.wait(1000))
        for row in [row for row in self.do(self.vault.assignments(task)) if row["status"] in IN_HAND][:1]:
            self.relay_of(row, count, mistake)
            self.do(self.vault.hand_back(self.holder(row), row["db_key"]))
            self.witness.replied[row["db_key"]] = "released"
        self.join(SOLVERS[4], 4)

    @rule(which=any_of_them)
    def hand_back(self, which: int) -> None:
        if row := self.in_hand(which):
            self.do(self.vault.hand_back(self.holder(row), row["db_key"]))
            self.witness.replied[row["db_key"]] = "released"

    @rule(
        which=any_of_them,
        response=st.sampled_from(["stands_by", "stands_by", "withdraws"]),
        proof=st.sampled_from([None, True, False]),
    )
    def respond(self, which: int, response: str, proof: bool | None) -> None:
        parties = self.do(self.vault.rows(PARTIES))
        if not parties:
            return
        party = parties[which % min(4, len(parties))]
        key, is_proved = (
            party["db_key"],
            proof is not None and response == "stands_by" and party["kind"] == "wrong_answer",
        )
        raw = self.proof_for(key, bool(proof)) if is_proved else None
        order = RespondToComplaint(complaint=party["id"], assignment=key, response=response, proof=raw)
        responding = self.vault.give(self.holder(party), order)
        if party["response"] == response or (party["response"] is None and party["status"] == "asked"):
            self.do(responding)
            if raw is not None and party["response"] is None and key not in self.witness.proved:
                self.witness.proved[key] = bool(proof) and self.witness.sent[key] == RIGHT[AGREED.t]
            self.witness.words[party["id"], party["db_key"]] = response
        else:
            assert self.refused(responding) is Code.COMPLAINT_ENDED

    @rule(which=any_of_them, status=st.sampled_from(["expired", "released", "valid", "invalid", "unproved"]))
    def answer_what_has_ended(self, which: int, status: str) -> None:
        if row := self.one_of(status, which):
            late = row["delivered_at"] is None
            code = self.refused(self.vault.answer(self.holder(row), row["db_key"], 7))
            assert code is (Code.ASSIGNMENT_ENDED if late else Code.ALREADY_ANSWERED)

    def holder(self, row: dict[str, Any]) -> Caller:
        [who] = [one for one in SOLVERS if one.fingerprint == row["solver_id"]]
        return who

    # the server

    @rule(which=any_of_them, count=st.integers(1, 4))
    def judge(self, which: int, count: int) -> None:
        """Some of what waits for arithmetic, in any order."""
        for _ in range(min(count, len(self.vault.jobs))):
            self.do(self.vault.judge_one(self.vault.jobs.pop(which % len(self.vault.jobs))))

    @rule(ms=st.sampled_from([1, 1000, 1000, 61_000, HOUR_MS, HOUR_MS, 17 * HOUR_MS]))
    def wait(self, ms: int) -> None:
        self.do(self.vault.wait(ms))

    @rule(down_ms=st.sampled_from([0, 0, 1000, 1000, HOUR_MS, 17 * HOUR_MS]))
    def restart(self, down_ms: int) -> None:
        back_ms = self.vault.now_ms + down_ms + self.vault.settings.restart_grace_ms
        rows = self.do(self.vault.rows("SELECT * FROM task_assignments WHERE deadline < :back", back=back_ms))
        self.witness.excused |= {(self.holder(row).hotkey, row["task_id"]) for row in rows if row["status"] in IN_HAND}
        self.do(self.vault.restart(down_ms))
        self.online.clear()

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
    def what_was_said_is_so(self) -> None:
        if hasattr(self, "vault"):
            self.do(self.witness.look(self.vault))

    @invariant()
    def clients_are_told_the_truth(self) -> None:
        if not hasattr(self, "vault"):
            return
        for who in CLIENTS:
            for push in self.do(self.vault.pushes(who)):
                if isinstance(push, PuzzleAnswered):
                    self.is_right(push)

    def is_right(self, push: PuzzleAnswered) -> None:
        if push.judged_by == "agreed":
            rows = self.do(self.vault.assignments(push.task))
            assert [self.witness.sent.get(row["db_key"]) for row in rows].count(push.answer) >= 2
        else:
            assert push.answer == RIGHT[self.orders[push.task].t]


EXAMPLES = {"sqlite": 50, "postgres": 5}
"""A round trip for each statement: fewer there."""


def test_everything_at_once(dialect: str, empty_database: NewDatabase) -> None:
    class OnThis(EverythingAtOnce):
        def __init__(self) -> None:
            super().__init__(empty_database)

    run_state_machine_as_test(
        OnThis,
        settings=settings(
            max_examples=EXAMPLES[dialect],
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
