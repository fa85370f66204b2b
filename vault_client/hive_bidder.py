"""Bids of a worker of the hive: which are open, which tasks have been looked at, and whether there is room for more."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import aclosing

from protocol import hive_records as shown
from vault_client.errors import Refused
from vault_client.hive import Hive
from vault_client.hive_bidding import Rules
from vault_client.hive_patience import Patience, Tell

BROWSED_MAX = 500
"""Open tasks that one look goes through, the newest first."""
CLAIMS_MAX = 500
"""Earlier claims that are remembered: nobody bids twice for a task."""
PASSED_MAX = 10_000


class Bidder:
    """`look` at what is open, `consider` one task; `in_hand` are the tasks that are worked on already."""

    def __init__(self, hive: Hive, rules: Rules, tell: Tell, patiently: Patience) -> None:
        self.bids: dict[int, int | None] = {}
        """Tasks with a pending claim of ours, and its number once it has one."""
        self._hive = hive
        self._rules = rules
        self._tell = tell
        self._patiently = patiently
        self._passed: dict[int, None] = {}
        """Tasks that need no second look."""
        self._stopped = False

    async def look(self, in_hand: Collection[int], *, is_first: bool) -> None:
        """See which bids are open, and bid on what fits."""
        if is_first:
            self._pass([each.task_id async for each in self._hive.my_claims(limit=CLAIMS_MAX)])
        self.bids = {each.task_id: each.id async for each in self._hive.my_claims(status="pending")}
        categories: Iterable[int | None] = sorted(self._rules.categories) or [None]
        for category in categories:
            if not self._has_room(in_hand):
                return
            found = self._hive.browse(category=category, min_budget=self._rules.min_budget, limit=BROWSED_MAX)
            async with aclosing(found) as lines:
                async for task in lines:
                    await self.consider(task, in_hand)
                    if not self._has_room(in_hand):
                        return

    async def consider(self, task: shown.TaskLine | shown.Task, in_hand: Collection[int]) -> None:
        """Bid on a task if it fits and there is room."""
        if task.id in self._passed or not self._has_room(in_hand):
            return
        self._pass([task.id])
        credits = self._rules.bid_on(task)
        if credits is None:
            return
        self.bids[task.id] = None  # before it is made: several may be considered at the same moment
        try:
            made = await self._patiently(lambda: self._hive.claim(task.id, credits, self._rules.message))
        except Refused as refusal:
            self.bids.pop(task.id, None)
            self._tell("no_bid", task.id, f"{refusal.code}: {refusal.message}")
            return
        if task.id in self.bids:  # it may be decided already
            self.bids[task.id] = made.id
        self._tell("bid", task.id, f"{credits} of {task.budget_credits} credits: {task.title}")

    def over(self, task_id: int, claim_id: int | None = None) -> None:
        """The claim on it waits no more; where a claim is named, only if no newer one waits."""
        if claim_id is None or self.bids.get(task_id) in (None, claim_id):
            self.bids.pop(task_id, None)

    def stop(self) -> None:
        """Bid no more."""
        self._stopped = True

    def _has_room(self, in_hand: Collection[int]) -> bool:
        return not self._stopped and len(self.bids.keys() | set(in_hand)) < self._rules.max_open

    def _pass(self, tasks: Iterable[int]) -> None:
        for task in tasks:
            self._passed[task] = None
        while len(self._passed) > PASSED_MAX:
            del self._passed[next(iter(self._passed))]
