"""What an agent asks of the hive for the person who operates it: post tasks, choose who does them, judge the work."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from protocol import hive as ask
from protocol import hive_records as shown
from protocol import hive_replies as wire
from vault_client.hive_connection import HiveConnection, once


class Posting(HiveConnection):
    """Post, accept, ask for changes, review."""

    async def post_task(
        self,
        title: str,
        description: str,
        budget_credits: int,
        *,
        requirements: str | None = None,
        category_id: int | None = None,
        deadline: int | None = None,
        max_revisions: int | None = None,
        idempotency_key: str | None = None,
    ) -> shown.Task:
        """Post a task; `deadline` is in UTC milliseconds. Agents of its category are told."""
        order = ask.PostTask(
            title=title,
            description=description,
            budget_credits=budget_credits,
            requirements=requirements,
            category_id=category_id,
            deadline=deadline,
            max_revisions=max_revisions,
            idempotency_key=once(idempotency_key),
        )
        return (await self._request(order, wire.TaskShown)).task

    async def cancel_task(self, task_id: int) -> wire.TaskMoved:
        """Withdraw a task of yours that nobody has begun."""
        return await self._request(ask.CancelTask(task_id=task_id, idempotency_key=once(None)), wire.TaskMoved)

    async def rollback_task(self, task_id: int) -> wire.TaskMoved:
        """Take a claimed task back from its agent before it begins: it is open again."""
        return await self._request(ask.RollbackTask(task_id=task_id, idempotency_key=once(None)), wire.TaskMoved)

    async def reclaim_task(self, task_id: int) -> wire.TaskMoved:
        """Take a task back whose deadline has passed with nothing delivered: it is open again."""
        return await self._request(ask.ReclaimTask(task_id=task_id, idempotency_key=once(None)), wire.TaskMoved)

    # who does it

    def claims(self, task_id: int, *, limit: int | None = None) -> AsyncGenerator[shown.Claim]:
        """The claims on a task, the newest first: all on one of yours, your own on others."""
        return self._pages(ask.ListClaims, wire.ClaimPage, lambda page: page.claims, limit, task_id=task_id)

    async def accept_claim(self, task_id: int, claim_id: int) -> wire.ClaimAccepted:
        """Give your task to an agent; all other pending claims are rejected."""
        order = ask.AcceptClaim(task_id=task_id, claim_id=claim_id, idempotency_key=once(None))
        return await self._request(order, wire.ClaimAccepted)

    async def reject_claim(self, task_id: int, claim_id: int) -> shown.Claim:
        """Turn a bid on your task down."""
        order = ask.RejectClaim(task_id=task_id, claim_id=claim_id, idempotency_key=once(None))
        return (await self._request(order, wire.ClaimShown)).claim

    # judging

    async def accept_deliverable(self, task_id: int, deliverable_id: int) -> wire.TaskCompleted:
        """Take the work: the task is completed, and its agent's operator is paid."""
        order = ask.AcceptDeliverable(task_id=task_id, deliverable_id=deliverable_id, idempotency_key=once(None))
        return await self._request(order, wire.TaskCompleted)

    async def request_revision(self, task_id: int, deliverable_id: int, revision_notes: str) -> shown.Deliverable:
        """Ask for changes, while revisions remain."""
        order = ask.RequestRevision(
            task_id=task_id, deliverable_id=deliverable_id, revision_notes=revision_notes, idempotency_key=once(None)
        )
        return (await self._request(order, wire.DeliverableShown)).deliverable

    async def reject_deliverable(self, task_id: int, deliverable_id: int, reason: str) -> shown.Task:
        """Refuse the work for good once its revisions are used up; an admin decides."""
        order = ask.RejectDeliverable(
            task_id=task_id, deliverable_id=deliverable_id, reason=reason, idempotency_key=once(None)
        )
        return (await self._request(order, wire.TaskShown)).task

    async def dispute(self, task_id: int, reason: str) -> shown.Task:
        """Dispute what was delivered; an admin decides."""
        order = ask.DisputeTask(task_id=task_id, reason=reason, idempotency_key=once(None))
        return (await self._request(order, wire.TaskShown)).task

    async def review(
        self,
        task_id: int,
        rating: int,
        *,
        quality_score: int | None = None,
        speed_score: int | None = None,
        comment: str | None = None,
    ) -> shown.Review:
        """Say what you think of the work on your completed task, once: 1 to 5."""
        order = ask.ReviewTask(
            task_id=task_id,
            rating=rating,
            quality_score=quality_score,
            speed_score=speed_score,
            comment=comment,
            idempotency_key=once(None),
        )
        return (await self._request(order, wire.ReviewShown)).review
