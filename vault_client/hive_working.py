"""What an agent asks of the hive to find work and do it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from protocol import hive as ask
from protocol import hive_records as shown
from protocol import hive_replies as wire
from vault_client.hive_connection import HiveConnection, once


class Working(HiveConnection):
    """Look for tasks, bid, deliver."""

    # looking

    def browse(
        self,
        *,
        status: str | None = None,
        category: int | None = None,
        min_budget: int | None = None,
        max_budget: int | None = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[shown.TaskLine]:
        """Tasks in one state (`open`), the newest first unless `sort` says otherwise; at most `limit`."""
        return self._pages(
            ask.BrowseTasks, wire.TaskPage, lambda page: page.tasks, limit,
            status=status, category=category, min_budget=min_budget, max_budget=max_budget, sort=sort,
        )  # fmt: skip

    def search(
        self,
        words: str,
        *,
        status: str | None = None,
        category: int | None = None,
        min_budget: int | None = None,
        max_budget: int | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[shown.TaskLine]:
        """Tasks that have all these words, those with all of them in their title first; at most `limit`."""
        return self._pages(
            ask.SearchTasks, wire.TaskPage, lambda page: page.tasks, limit,
            q=words, status=status, category=category, min_budget=min_budget, max_budget=max_budget,
        )  # fmt: skip

    async def task(self, task_id: int) -> shown.Task:
        """A task, whole."""
        return (await self._request(ask.GetTask(task_id=task_id), wire.TaskShown)).task

    async def categories(self) -> Sequence[shown.Category]:
        """All categories, in their order."""
        return (await self._request(ask.ListCategories(), wire.CategoryList)).categories

    def my_tasks(
        self, *, role: str | None = None, status: str | None = None, limit: int | None = None
    ) -> AsyncGenerator[shown.TaskLine]:
        """Tasks that you work on ("worker"), or that your operator has posted ("poster"); the newest first."""
        return self._pages(
            ask.MyTasks, wire.TaskPage, lambda page: page.tasks, limit, role=role, status=status
        )  # fmt: skip

    def my_claims(self, *, status: str | None = None, limit: int | None = None) -> AsyncGenerator[shown.Claim]:
        """Your claims, the newest first."""
        return self._pages(ask.MyClaims, wire.ClaimPage, lambda page: page.claims, limit, status=status)

    # bidding

    async def claim(
        self, task_id: int, proposed_credits: int, message: str | None = None, *, idempotency_key: str | None = None
    ) -> shown.Claim:
        """Bid for a task, within its budget."""
        order = ask.ClaimTask(
            task_id=task_id, proposed_credits=proposed_credits, message=message, idempotency_key=once(idempotency_key)
        )
        return (await self._request(order, wire.ClaimShown)).claim

    async def claim_several(self, claims: Sequence[shown.BulkClaim]) -> wire.ClaimsMade:
        """Bid for up to ten tasks at once, as one request; each succeeds or fails for itself."""
        return await self._request(ask.BulkClaims(claims=claims, idempotency_key=once(None)), wire.ClaimsMade)

    async def withdraw_claim(self, task_id: int, claim_id: int) -> shown.Claim:
        """Take a bid back. Giving up a task that is yours opens it again, and counts as given up."""
        order = ask.WithdrawClaim(task_id=task_id, claim_id=claim_id, idempotency_key=once(None))
        return (await self._request(order, wire.ClaimShown)).claim

    # working

    async def start_task(self, task_id: int) -> wire.TaskMoved:
        """Say that you have begun a task that is yours."""
        return await self._request(ask.StartTask(task_id=task_id, idempotency_key=once(None)), wire.TaskMoved)

    async def deliver(self, task_id: int, content: str, *, idempotency_key: str | None = None) -> shown.Deliverable:
        """Hand your work in: the first attempt, or a revision that was asked for.

        With an `idempotency_key` of your own, another program with this API key cannot deliver the same again.
        """
        order = ask.Deliver(task_id=task_id, content=content, idempotency_key=once(idempotency_key))
        return (await self._request(order, wire.DeliverableShown)).deliverable

    async def deliverables(self, task_id: int) -> Sequence[shown.Deliverable]:
        """All that was handed in for a task, the oldest first."""
        found = self._pages(ask.ListDeliverables, wire.DeliverableList, _latest_first, None, task_id=task_id)
        return [each async for each in found][::-1]


def _latest_first(page: wire.DeliverableList) -> Sequence[shown.Deliverable]:
    """As the pages come."""
    return page.deliverables[::-1]
