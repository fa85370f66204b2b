"""Validators, miners, contributors, voters, time and restarts in any order: the rows stay consistent, every score is
50 and its changes, each task is settled once, and no vote counts that was not allowed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from protocol import json_text
from protocol import subnet as wire
from protocol.errors import Code, MessageError
from tests.vault_server.conftest import NewDatabase
from tests.vault_server.people import participant
from tests.vault_server.systems.subnet.harness import HOUR_MS, WINDOW_MS, Subnet, settings_for, violations
from vault_server.core.operation import Caller
from vault_server.systems.subnet import rules

T = TypeVar("T")

PEOPLE = [participant(name) for name in "abcdefg"]
"""Everybody may be everything."""
BY_KEY = {who.hotkey: who for who in PEOPLE}

somebody = st.sampled_from(PEOPLE)
any_task = st.integers(1, 8)
some_side = st.sampled_from(["validator", "miner"])

MET = {
    "create": {Code.NO_MINER_AVAILABLE, Code.NOT_REGISTERED, Code.CONFLICT_OF_INTEREST, Code.TOO_MANY_OPEN_TASKS},
    "submit": {
        Code.TASK_NOT_FOUND, Code.NOT_ASSIGNED, Code.DUPLICATE_COMPLETION, Code.TASK_EXPIRED, Code.INVALID_STATUS,
    },
    "vote": {Code.TASK_NOT_FOUND, Code.SELF_VOTE, Code.NOT_REGISTERED, Code.VOTING_CLOSED},
    "cancel": {Code.TASK_NOT_FOUND, Code.INVALID_STATUS, Code.TASK_EXPIRED},
    "link": {Code.CONFLICT_OF_INTEREST, Code.ALREADY_LINKED, Code.TOO_MANY_CONTRIBUTORS},
    "unlink": {Code.NOT_LINKED},
}  # fmt: skip
"""What each order can meet; anything else is a defect."""


class EverythingAtOnce(RuleBasedStateMachine):
    """Each rule is one order; refusals that are possible at any time are part of the game."""

    def __init__(self, empty_database: NewDatabase) -> None:
        super().__init__()
        self.empty_database = empty_database
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(prefix="vault-subnet-")
        self.subnet: Subnet
        self.ends: dict[int, str] = {}
        self.authors: dict[int, str] = {}
        self.cast: dict[tuple[int, str], tuple[str, float]] = {}
        self.known: dict[str, int] = {}

    @initialize(votes_min=st.integers(1, 3), open_max=st.integers(2, 5), silence=st.sampled_from([0.0, 1.0]))
    def start(self, votes_min: int, open_max: int, silence: float) -> None:
        chosen = settings_for(
            Path(self.folder.name),
            subnet_votes_min=votes_min,
            subnet_open_tasks_max=open_max,
            subnet_score_scale=20.0,
            subnet_no_vote_penalty_total=silence,
            subnet_contributors_max=2,
            subnet_asks_max=3,
        )
        self.subnet = Subnet(self.empty_database(), chosen)
        self.do(self.subnet.database.start())
        for who in PEOPLE[:6]:
            self.register(who, True, True)
        self.link(PEOPLE[1], PEOPLE[2])
        for miner, negative, helped in (
            (1, None, True),
            (1, "validator", False),
            (3, None, False),
            (4, "miner", False),
        ):
            self.ask_and_answer(PEOPLE[0 if miner == 1 else 5], PEOPLE[miner], negative, helped)

    def teardown(self) -> None:
        if hasattr(self, "subnet"):
            self.do(self.subnet.database.stop())
        self.runner.close()
        self.folder.cleanup()

    def do(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(doing)

    def order(self, kind: str, who: Caller, order: Any) -> Any:
        """The reply, or None when it was refused as it may be."""
        self.known.setdefault(who.hotkey, self.subnet.now_ms)
        try:
            return self.do(self.subnet.give(who, order))
        except MessageError as refusal:
            if refusal.code not in MET[kind]:
                raise
            return None

    def task(self, number: int) -> dict[str, Any] | None:
        rows = self.do(self.subnet.rows("SELECT * FROM subnet_tasks WHERE id = :id", id=number))
        return rows[0] if rows else None

    # orders

    @rule(who=somebody, mining=st.sampled_from([None, True, False]), judging=st.sampled_from([None, True, False]))
    def register(self, who: Caller, mining: bool | None, judging: bool | None) -> None:
        self.known.setdefault(who.hotkey, self.subnet.now_ms)
        self.do(self.subnet.register(who, mining=mining, judging=judging))

    @rule(who=somebody)
    def leave(self, who: Caller) -> None:
        self.do(self.subnet.leave(who))

    @rule(
        who=somebody,
        miner=st.none() | somebody,
        negative=st.sampled_from([None, None, "validator", "miner"]),
        ms=st.sampled_from([None, 5_000, HOUR_MS]),
    )
    def create(self, who: Caller, miner: Caller | None, negative: str | None, ms: int | None) -> None:
        metadata = "{}" if negative is None else f'{{"negative_completion":"{negative}"}}'
        order = wire.CreateTask(
            task_type="any",
            task_metadata=metadata,
            validator_completion='"reference"',
            expire_at=None if ms is None else self.subnet.now_ms + ms,
            assigned_miner_hotkey=None if miner is None else miner.hotkey,
        )
        self.order("create", who, order)

    @rule(who=somebody, number=any_task)
    def submit(self, who: Caller, number: int) -> None:
        self.answer(who, number)

    @rule(number=any_task)
    def submit_as_miner(self, number: int) -> None:
        if (task := self.task(number)) is not None:
            self.answer(BY_KEY[task["assigned_miner_hotkey"]], number)

    def answer(self, who: Caller, number: int) -> None:
        before = self.task(number)
        if self.order("submit", who, wire.SubmitCompletion(task_id=number, completion='"answer"')) is None:
            return
        assert before is not None
        assert before["status"] == "assigned"
        assert self.subnet.now_ms < before["expire_at"]
        link = self.link_of(who)
        assert who.hotkey == before["assigned_miner_hotkey"] or (link or ())[:2] == (
            before["assigned_miner_hotkey"], None,
        )  # fmt: skip
        assert number not in self.authors, "one miner completion"
        self.authors[number] = who.hotkey
        self.subnet.now_ms += 1

    @rule(
        who=somebody, miner=somebody, negative=st.sampled_from([None, None, "validator", "miner"]), helped=st.booleans()
    )
    def ask_and_answer(self, who: Caller, miner: Caller, negative: str | None, helped: bool) -> None:
        """A question that is answered at once, by a helper of the miner if there is one."""
        before = self.count("SELECT count(*) AS n FROM subnet_tasks")
        self.create(who, miner, negative, None)
        if self.count("SELECT count(*) AS n FROM subnet_tasks") == before:
            return
        number = self.count("SELECT max(id) AS n FROM subnet_tasks")
        helpers = [each for each in PEOPLE if (self.link_of(each) or ())[:2] == (miner.hotkey, None)]
        self.answer(helpers[0] if helped and helpers else miner, number)

    def count(self, sql: str) -> int:
        return int(self.do(self.subnet.row(sql))["n"])

    def link_of(self, who: Caller) -> tuple[str, int | None, int] | None:
        """The miner, when it ended, when it began."""
        rows = self.do(
            self.subnet.rows("SELECT * FROM miner_contributors WHERE contributor_hotkey = :key", key=who.hotkey)
        )
        return (rows[0]["miner_hotkey"], rows[0]["revoked_at"], rows[0]["created_at"]) if rows else None

    @rule(who=somebody, which=any_task, side=some_side, against=st.booleans())
    def judge(self, who: Caller, which: int, side: str, against: bool) -> None:
        """A vote on something that is judged now."""
        rows = self.do(self.subnet.rows("SELECT id FROM subnet_tasks WHERE status = 'submitted' ORDER BY id"))
        if rows:
            self.vote(who, rows[which % len(rows)]["id"], side, against)

    @rule(which=any_task, sides=st.lists(some_side, min_size=4, max_size=len(PEOPLE)), until_the_end=st.booleans())
    def judge_together(self, which: int, sides: list[str], until_the_end: bool) -> None:
        """Several vote on the same, as far as they may, and perhaps the window closes."""
        rows = self.do(self.subnet.rows("SELECT id FROM subnet_tasks WHERE status = 'submitted' ORDER BY id"))
        if not rows:
            return
        number = rows[which % len(rows)]["id"]
        for who, side in zip(PEOPLE, sides, strict=False):
            self.vote(who, number, side, False)
        task = self.task(number)
        if until_the_end and task is not None and task["status"] == "submitted":
            self.do(self.subnet.wait(max(0, task["voting_closes_at"] - self.subnet.now_ms)))

    @rule(who=somebody, number=any_task, side=some_side, against=st.booleans())
    def vote(self, who: Caller, number: int, side: str, against: bool) -> None:
        before = self.task(number)
        link = self.link_of(who)
        chosen = self.subnet.label(number, who, side)
        order = wire.Vote(task_id=number, chosen=chosen, against=rules.other(chosen) if against else None)
        taken = self.order("vote", who, order)
        if taken is None:
            return
        assert before is not None
        assert before["status"] == "submitted"
        assert self.subnet.now_ms < before["voting_closes_at"]
        parties = (before["validator_hotkey"], before["assigned_miner_hotkey"], self.authors[number])
        assert who.hotkey not in parties
        if link is not None and link[0] == before["assigned_miner_hotkey"]:
            assert link[1] is not None
            assert link[1] < before["submitted_at"] or link[2] > before["created_at"]
        assert self.known[who.hotkey] < before["submitted_at"]
        self.cast[number, who.hotkey] = (side, taken.weight)

    @rule(who=somebody, number=any_task)
    def cancel(self, who: Caller, number: int) -> None:
        self.order("cancel", who, wire.CancelTask(task_id=number))

    @rule(who=somebody, contributor=somebody)
    def link(self, who: Caller, contributor: Caller) -> None:
        if self.order("link", who, wire.AddContributor(contributor_hotkey=contributor.hotkey)) is not None:
            self.known.setdefault(contributor.hotkey, self.subnet.now_ms)

    @rule(who=somebody, contributor=st.none() | somebody)
    def unlink(self, who: Caller, contributor: Caller | None) -> None:
        order = wire.LeaveMiner() if contributor is None else wire.RevokeContributor(
            contributor_hotkey=contributor.hotkey
        )  # fmt: skip
        self.order("unlink", who, order)

    @rule(who=somebody)
    def acknowledge(self, who: Caller) -> None:
        self.do(self.subnet.acknowledge(who))

    @rule(ms=st.sampled_from([1, 1000, 10_000, HOUR_MS, WINDOW_MS]))
    def wait(self, ms: int) -> None:
        self.do(self.subnet.wait(ms))

    @rule(down_ms=st.sampled_from([0, 1000, WINDOW_MS]))
    def restart(self, down_ms: int) -> None:
        self.do(self.subnet.restart(down_ms))

    # what stays true

    @invariant()
    def rows_are_consistent(self) -> None:
        if hasattr(self, "subnet"):
            assert self.do(self.subnet.database.read(violations)) == []

    @invariant()
    def what_has_ended_stays_so(self) -> None:
        if not hasattr(self, "subnet"):
            return
        for row in self.do(self.subnet.rows("SELECT id, status FROM subnet_tasks")):
            if row["id"] in self.ends:
                assert row["status"] == self.ends[row["id"]]
            elif row["status"] in ("scored", "expired", "cancelled"):
                self.ends[row["id"]] = row["status"]
                self.settled_right(row["id"], row["status"])

    def settled_right(self, number: int, status: str) -> None:
        """The changes of a task are what its votes come to, kept within 0 and 100."""
        task = self.task(number)
        assert task is not None
        rows = self.do(
            self.subnet.rows(
                "SELECT hotkey, score_change, score_after, reason FROM score_history WHERE task_id = :id",
                id=str(number),
            )
        )
        if status == "expired":
            assert [(row["hotkey"], row["reason"]) for row in rows if row["score_change"]] in (
                [], [(task["assigned_miner_hotkey"], "task_expired")],
            )  # fmt: skip
            return
        votes = [
            rules.CountedVote(hotkey, weight, side)
            for (of, hotkey), (side, weight) in self.cast.items()
            if of == number
        ]
        expected = rules.settle(
            votes,
            miner=task["assigned_miner_hotkey"],
            author=self.authors.get(number, ""),
            negative=rules.negative_of(json_text.read(task["task_metadata"])),
            scale=self.subnet.settings.subnet_score_scale,
            votes_min=self.subnet.settings.subnet_votes_min,
        )
        found = {row["hotkey"]: row for row in rows if row["reason"] != rules.Reason.NO_VOTE}
        for change in expected:
            row = found.pop(change.hotkey, None)
            if row is None:
                assert self.do(self.subnet.score(BY_KEY[change.hotkey])) in (0, 100) or change.amount == 0
            else:
                clamped = row["score_after"] in (0, 100)
                assert row["reason"] == change.reason
                assert abs(row["score_change"] - change.amount) < 1e-5 or clamped
        assert not found, "nobody else's score has moved"


EXAMPLES = {"sqlite": 40, "postgres": 5}
"""A round trip for each statement: fewer there."""


def test_everything_at_once(dialect: str, empty_database: NewDatabase) -> None:
    class OnThis(EverythingAtOnce):
        def __init__(self) -> None:
            super().__init__(empty_database)

    run_state_machine_as_test(
        OnThis,
        settings=settings(
            max_examples=EXAMPLES[dialect],
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
