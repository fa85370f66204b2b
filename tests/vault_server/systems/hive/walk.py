"""A random walk through the hive beside a model of it: what each order should lead to, by the seed's tables alone.

The model knows nothing of rows. `Walk.next` draws a caller and an order, mostly ones that make sense; `Walk.expect`
says what status the task should have behind it, None where it should be refused; `Walk.took` carries it into the model.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from protocol import hive as wire
from protocol.envelope import Message
from tests.vault_server.systems.hive.harness import agent, number_of, user
from vault_server.core.operation import Caller

HOUSE = 1
HOUR_MS = 3_600_000
TITLE, DESCRIPTION = "Sort these numbers", "There are twelve of them, in no order."


@dataclass
class ModelTask:
    """What the model knows of a task."""

    poster: int
    budget: int
    max_revisions: int
    deadline: int | None
    status: str = "open"
    agent: int | None = None
    accepted: int | None = None
    attempts: dict[int, int] = field(default_factory=dict)
    work: int | None = None
    reviewed: bool = False


@dataclass
class ModelClaim:
    """What the model knows of a claim."""

    task: int
    agent: int
    status: str = "pending"


class Walk:
    """`people` and `agents` are there already, with their bonuses; `operator` says whose agent one is."""

    def __init__(self, seed: int, people: list[Caller], agents: list[Caller], admin: Caller) -> None:
        self.random = random.Random(seed)
        self.people = people
        self.agents = agents
        self.admin = admin
        self.operator = {number_of(each): number_of(people[index % len(people)]) for index, each in enumerate(agents)}
        self.balances: dict[int, int] = {}
        self.tasks: dict[int, ModelTask] = {}
        self.claims: dict[int, ModelClaim] = {}
        self.works: dict[int, str] = {}
        self.now_ms = 0
        self.done: dict[str, int] = {}
        self._makers: list[Callable[[], tuple[Caller, Message]]] = [
            *[self._post] * 3, *[self._claim] * 5, *[self._accept_claim] * 4, self._reject_claim, self._withdraw,
            *[self._start] * 2, *[self._deliver] * 4, *[self._accept] * 3, *[self._revise] * 2, self._reject,
            self._dispute, *[self._resolve] * 2, self._cancel, self._roll_back, self._reclaim, *[self._review] * 2,
            self._deposit,
        ]  # fmt: skip

    def next(self) -> tuple[Caller, Any]:
        """A caller and his order."""
        return self.random.choice(self._makers)()

    # who gives which order; nine times in ten one that fits, else anything

    def _fits(self) -> bool:
        return self.random.random() < 0.9

    def _task(self, *statuses: str) -> int:
        fitting = [number for number, task in self.tasks.items() if task.status in statuses]
        known = fitting[-6:] if fitting and self._fits() else list(self.tasks)
        return self.random.choice(known) if known and self.random.random() < 0.98 else 10_000

    def _poster(self, number: int) -> Caller:
        task = self.tasks.get(number)
        return user(task.poster) if task is not None and self._fits() else self.random.choice(self.people)

    def _worker(self, number: int) -> Caller:
        task = self.tasks.get(number)
        if task is not None and task.agent is not None and self._fits():
            return agent(task.agent)
        return self.random.choice(self.agents)

    def _claim_on(self, number: int, *statuses: str) -> int:
        fitting = [
            key
            for key, claim in self.claims.items()
            if claim.task == number and claim.status in (statuses or ("pending",))
        ]
        known = fitting if fitting and self._fits() else list(self.claims)[-20:]
        return self.random.choice(known) if known else 10_000

    def _work_on(self, number: int) -> int:
        task = self.tasks.get(number)
        if task is not None and task.work is not None and self._fits():
            return task.work
        return self.random.choice(list(self.works)) if self.works else 10_000

    def _post(self) -> tuple[Caller, Message]:
        deadline = self.now_ms + self.random.randint(1, 20) * HOUR_MS if self.random.random() < 0.5 else None
        order = wire.PostTask(
            title=TITLE,
            description=DESCRIPTION,
            budget_credits=self.random.randint(10, 500),
            max_revisions=self.random.choice([None, 0, 1, 5]),
            deadline=deadline,
        )
        return self.random.choice(self.people + self.agents), order

    def _claim(self) -> tuple[Caller, Message]:
        number = self._task("open")
        credits = self.random.choice([1, 10, 400, 501])
        return self.random.choice(self.agents), wire.ClaimTask(task_id=number, proposed_credits=credits)

    def _accept_claim(self) -> tuple[Caller, Message]:
        number, claim = self._pending()
        return self._poster(number), wire.AcceptClaim(task_id=number, claim_id=claim)

    def _reject_claim(self) -> tuple[Caller, Message]:
        number, claim = self._pending()
        return self._poster(number), wire.RejectClaim(task_id=number, claim_id=claim)

    def _pending(self) -> tuple[int, int]:
        """A claim that can be decided, and its task."""
        pending = [(claim.task, key) for key, claim in self.claims.items() if claim.status == "pending"]
        if pending and self._fits():
            return self.random.choice(pending)
        number = self._task("open")
        return number, self._claim_on(number)

    def _withdraw(self) -> tuple[Caller, Message]:
        number = self._task("open", "claimed", "in_progress")
        claim = self._claim_on(number, "pending", "accepted")
        found = self.claims.get(claim)
        who = agent(found.agent) if found is not None and self._fits() else self.random.choice(self.agents)
        return who, wire.WithdrawClaim(task_id=number, claim_id=claim)

    def _start(self) -> tuple[Caller, Message]:
        number = self._task("claimed")
        return self._worker(number), wire.StartTask(task_id=number)

    def _deliver(self) -> tuple[Caller, Message]:
        number = self._task("claimed", "in_progress")
        return self._worker(number), wire.Deliver(task_id=number, content="1, 2, 3")

    def _accept(self) -> tuple[Caller, Message]:
        number = self._task("delivered")
        return self._poster(number), wire.AcceptDeliverable(task_id=number, deliverable_id=self._work_on(number))

    def _revise(self) -> tuple[Caller, Message]:
        number = self._task("delivered")
        work = self._work_on(number)
        return self._poster(number), wire.RequestRevision(task_id=number, deliverable_id=work, revision_notes="More.")

    def _reject(self) -> tuple[Caller, Message]:
        number = self._task("delivered")
        work = self._work_on(number)
        return self._poster(number), wire.RejectDeliverable(task_id=number, deliverable_id=work, reason="No.")

    def _dispute(self) -> tuple[Caller, Message]:
        number = self._task("delivered")
        return self._poster(number), wire.DisputeTask(task_id=number, reason="No.")

    def _resolve(self) -> tuple[Caller, Message]:
        who = self.admin if self._fits() else self.random.choice(self.people)
        return who, wire.ResolveDispute(task_id=self._task("disputed"), outcome=self.random.choice(["agent", "poster"]))

    def _cancel(self) -> tuple[Caller, Message]:
        number = self._task("open", "claimed")
        return self._poster(number), wire.CancelTask(task_id=number)

    def _roll_back(self) -> tuple[Caller, Message]:
        number = self._task("claimed")
        return self._poster(number), wire.RollbackTask(task_id=number)

    def _reclaim(self) -> tuple[Caller, Message]:
        number = self._task("in_progress")
        return self._poster(number), wire.ReclaimTask(task_id=number)

    def _review(self) -> tuple[Caller, Message]:
        number = self._task("completed")
        stars = [self.random.randint(1, 5) for _ in range(3)]
        order = wire.ReviewTask(
            task_id=number, rating=stars[0], quality_score=self.random.choice([None, stars[1]]), speed_score=stars[2]
        )
        return self._poster(number), order

    def _deposit(self) -> tuple[Caller, Message]:
        who = self.admin if self._fits() else self.random.choice(self.people)
        order = wire.Deposit(user_id=number_of(self.random.choice(self.people)), amount=self.random.randint(1, 99))
        return who, order

    # what an order should lead to

    def expect(self, caller: Caller, order: Any) -> str | None:
        """The task's status behind it ("" where it has none), or None: refused."""
        if isinstance(order, wire.PostTask):
            return "open"
        if isinstance(order, wire.Deposit):
            return "" if caller == self.admin else None
        task = self.tasks.get(order.task_id)
        if task is None:
            return None
        return self._expected(caller, order, task)

    def _expected(self, caller: Caller, order: Any, task: ModelTask) -> str | None:
        person = self.operator[number_of(caller)] if caller.account.startswith("agent") else number_of(caller)
        is_poster, is_worker = person == task.poster, caller.account == f"agent:{task.agent}"
        claim = self.claims.get(getattr(order, "claim_id", 0))
        has_claim = claim is not None and claim.task == order.task_id
        decides = is_poster and task.status == "delivered" and getattr(order, "deliverable_id", None) == task.work
        attempt = task.attempts.get(task.agent or 0, 0)
        match order:
            case wire.ClaimTask():
                who = number_of(caller)
                pending = any(
                    each.task == order.task_id and each.agent == who and each.status == "pending"
                    for each in self.claims.values()
                )
                return (
                    "open" if task.status == "open" and not pending and order.proposed_credits <= task.budget else None
                )
            case wire.AcceptClaim():
                fits = is_poster and has_claim and task.status == "open" and claim and claim.status == "pending"
                return "claimed" if fits else None
            case wire.RejectClaim():
                return task.status if is_poster and has_claim and claim and claim.status == "pending" else None
            case wire.WithdrawClaim():
                if not (has_claim and claim and caller.account == f"agent:{claim.agent}"):
                    return None
                if claim.status == "pending":
                    return task.status
                return "open" if claim.status == "accepted" and task.status in ("claimed", "in_progress") else None
            case wire.StartTask():
                return "in_progress" if is_worker and task.status == "claimed" else None
            case wire.Deliver():
                return "delivered" if is_worker and task.status in ("claimed", "in_progress") else None
            case wire.AcceptDeliverable():
                return "completed" if decides else None
            case wire.RequestRevision():
                return "in_progress" if decides and attempt <= task.max_revisions else None
            case wire.RejectDeliverable():
                return "disputed" if decides and attempt > task.max_revisions else None
            case wire.DisputeTask():
                return "disputed" if is_poster and task.status == "delivered" else None
            case wire.ResolveDispute():
                if caller != self.admin or task.status != "disputed":
                    return None
                return "completed" if order.outcome == "agent" else "cancelled"
            case wire.CancelTask():
                return "cancelled" if is_poster and task.status in ("open", "claimed") else None
            case wire.RollbackTask():
                return "open" if is_poster and task.status == "claimed" else None
            case wire.ReclaimTask():
                passed = task.deadline is not None and self.now_ms > task.deadline
                return "open" if is_poster and task.status == "in_progress" and passed else None
            case wire.ReviewTask():
                return "completed" if is_poster and task.status == "completed" and not task.reviewed else None
        raise AssertionError(f"the model does not know {order!r}")

    # what it has led to

    def took(self, caller: Caller, order: Any, reply: Any, status: str) -> None:
        """Carry what was done into the model."""
        name = type(order).__name__
        self.done[name] = self.done.get(name, 0) + 1
        if isinstance(order, wire.PostTask):
            shown = reply.task
            self.tasks[shown.id] = ModelTask(shown.poster_id, shown.budget_credits, shown.max_revisions, order.deadline)
            return
        if isinstance(order, wire.Deposit):
            self.balances[order.user_id] += order.amount
            return
        task, before = self.tasks[order.task_id], self.tasks[order.task_id].status
        self._moved(caller, order, reply, task)
        if status == "completed" and before != "completed":
            self._paid(task)
        if status in ("open", "cancelled") and before in ("claimed", "in_progress"):
            assert task.accepted is not None
            self.claims[task.accepted].status = "rejected" if status == "cancelled" else "withdrawn"
        if status == "open":
            task.agent = task.accepted = None
        task.status = status

    def _moved(self, caller: Caller, order: Any, reply: Any, task: ModelTask) -> None:
        match order:
            case wire.ClaimTask():
                self.claims[reply.claim.id] = ModelClaim(order.task_id, number_of(caller))
            case wire.AcceptClaim():
                self._reject_pending(order.task_id)
                self.claims[order.claim_id].status = "accepted"
                task.agent, task.accepted = self.claims[order.claim_id].agent, order.claim_id
            case wire.RejectClaim():
                self.claims[order.claim_id].status = "rejected"
            case wire.WithdrawClaim():
                self.claims[order.claim_id].status = "withdrawn"
            case wire.CancelTask():
                self._reject_pending(order.task_id)
            case wire.Deliver():
                assert task.agent is not None
                task.work = reply.deliverable.id
                self.works[reply.deliverable.id] = "submitted"
                task.attempts[task.agent] = task.attempts.get(task.agent, 0) + 1
                assert reply.deliverable.revision_number == task.attempts[task.agent]
            case wire.AcceptDeliverable() | wire.RequestRevision() | wire.RejectDeliverable():
                words = {"AcceptDeliverable": "accepted", "RequestRevision": "revision_requested"}
                self.works[order.deliverable_id] = words.get(type(order).__name__, "rejected")
            case wire.ResolveDispute():
                assert task.work is not None
                self.works[task.work] = "accepted" if order.outcome == "agent" else "rejected"
            case wire.ReviewTask():
                task.reviewed = True

    def _reject_pending(self, number: int) -> None:
        for claim in self.claims.values():
            if claim.task == number and claim.status == "pending":
                claim.status = "rejected"

    def _paid(self, task: ModelTask) -> None:
        fee = task.budget * 10 // 100
        assert task.agent is not None
        self.balances[self.operator[task.agent]] += task.budget - fee
        self.balances[HOUSE] += fee
