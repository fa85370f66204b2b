"""An open connection to the subnet as its user sees it: ask, answer, judge, look, and hear what happens."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from protocol import subnet as wire
from protocol.envelope import Envelope, Message
from protocol.errors import Code
from protocol.json_text import NotJson, canonical
from protocol.vault import StandingChanged
from vault_client.checking import check_fields
from vault_client.errors import Refused, VaultClientError
from vault_client.inbox import Inbox
from vault_client.link import Link

STANDING = (wire.TaskAssigned, wire.VoteRequested)
"""Pushes that end with what they are about, not with an acknowledgement."""

SubnetEvent = (
    wire.TaskAssigned
    | wire.VoteRequested
    | wire.TaskWithdrawn
    | wire.CompletionSubmitted
    | wire.TaskScored
    | wire.TaskExpired
    | wire.ContributorLinked
    | wire.ContributorRevoked
    | StandingChanged
)
"""What the server tells without being asked."""

Reply = TypeVar("Reply", bound=Message)


def json_of(value: Any) -> str:
    """A JSON value as the text that travels. Raises Refused for what is no JSON."""
    try:
        return canonical(value)
    except NotJson as error:
        raise Refused(
            Code.BAD_FIELD.value, f"The value cannot be sent: {error}.", "Send what JSON can hold.", retryable=False
        ) from None


class Subnet:
    """An open connection to a server's subnet; made by `connect_subnet`. Every method raises Refused, and what ended
    the connection for good. Replies hold JSON as texts: `protocol.json_text.read` gives their values."""

    def __init__(self, link: Callable[[Subnet], Link], hotkey: str) -> None:
        self.hotkey = hotkey
        self._registered: wire.Register | None = None
        self._renewing: set[asyncio.Task[None]] = set()
        self._link = link(self)
        self._inbox = Inbox(self._link.acknowledge, STANDING)
        self._ending: asyncio.Task[None] | None = None

    # taking part

    async def register(self, *, mining: bool | None = None, judging: bool | None = None) -> wire.Registered:
        """Take part; `mining`: be given tasks, `judging`: be asked for votes, for as long as this connection lasts.

        Without either both; with one the other stays as it was. A connection that comes back says so again by itself.
        """
        message = wire.Register(mining=mining, judging=judging)
        registered = await self._request(message, wire.Registered)
        self._registered = wire.Register(mining=registered.mining, judging=registered.judging)
        return registered

    async def participant(self, hotkey: str | None = None) -> wire.Participant:
        """Somebody's reputation and roles; your own without `hotkey`."""
        return await self._request(wire.GetParticipant(hotkey=hotkey), wire.Participant)

    async def score_history(self, hotkey: str | None = None) -> AsyncGenerator[wire.ScoreLine]:
        """Every change of somebody's reputation, the newest first."""
        cursor: int | None = None
        while True:
            order = wire.AskScoreHistory(hotkey=hotkey, cursor=cursor, limit=wire.LINES_MAX)
            page = await self._request(order, wire.ScoreChanges)
            for line in page.changes:
                yield line
            if (cursor := page.next) is None:
                return

    # asking

    async def create_task(
        self,
        task_type: str,
        metadata: dict[str, Any],
        completion: Any,
        *,
        expire_at: int | None = None,
        miner: str | None = None,
        idempotency_key: str | None = None,
    ) -> wire.TaskCreated:
        """Have one miner answer, and its peers judge the answer against your `completion`; returns once it is on disk.

        `metadata` should have a `prompt`; `expire_at` is in UTC milliseconds; without `miner` (a hotkey) the server
        picks. The same `idempotency_key` never makes two tasks; one is drawn when none is given.
        """
        order = wire.CreateTask(
            task_type=task_type,
            task_metadata=json_of(metadata),
            validator_completion=json_of(completion),
            expire_at=expire_at,
            assigned_miner_hotkey=miner,
            idempotency_key=secrets.token_hex(16) if idempotency_key is None else idempotency_key,
        )
        return await self._request(order, wire.TaskCreated)

    async def cancel_task(self, task_id: int) -> None:
        """Withdraw a task that nobody has answered yet. Cancelling twice does no harm."""
        losses = self._link.losses
        try:
            await self._request(wire.CancelTask(task_id=task_id), wire.TaskCancelled)
        except Refused as refusal:
            arrived_before = refusal.code == Code.INVALID_STATUS and self._link.losses != losses
            if not arrived_before or (await self.task(task_id)).status != "cancelled":
                raise

    # answering and judging

    async def submit(self, task_id: int, completion: Any) -> wire.CompletionTaken:
        """Answer a task; `completion` is any JSON value but None. There is one answer, and no editing it."""
        losses = self._link.losses
        try:
            order = wire.SubmitCompletion(task_id=task_id, completion=json_of(completion))
            return await self._request(order, wire.CompletionTaken)
        except Refused as refusal:
            if refusal.code != Code.DUPLICATE_COMPLETION or self._link.losses == losses:
                raise
            shown = await self.task(task_id)  # the reply to the first try may have been lost with its connection
            if shown.submitted_by != self.hotkey or shown.voting_closes_at is None:
                raise
            return wire.CompletionTaken(task_id=task_id, voting_closes_at=shown.voting_closes_at)

    async def vote(self, task_id: int, chosen: str, *, against_other: bool = False) -> wire.VoteTaken:
        """Say that the completion shown to you as `chosen` ("a" or "b") is better. A second vote replaces the first."""
        against = {"a": "b", "b": "a"}.get(chosen) if against_other else None
        return await self._request(wire.Vote(task_id=task_id, chosen=chosen, against=against), wire.VoteTaken)

    # looking

    async def task(self, task_id: int) -> wire.TaskShown:
        """A task as you may see it."""
        return await self._request(wire.GetTask(task_id=task_id), wire.TaskShown)

    async def tasks(self, role: str, *, status: str | None = None) -> AsyncGenerator[wire.TaskLine]:
        """Tasks in which you are the "validator", the "miner", a "contributor" or a "voter", the newest first."""
        cursor: int | None = None
        while True:
            order = wire.ListTasks(role=role, status=status, cursor=cursor, limit=wire.LINES_MAX)
            page = await self._request(order, wire.TaskList)
            for line in page.tasks:
                yield line
            if (cursor := page.next) is None:
                return

    async def votes(self, task_id: int) -> AsyncGenerator[wire.VoteLine]:
        """Every vote on a scored task that you had a part in, the oldest first."""
        cursor: int | None = None
        while True:
            order = wire.ListVotes(task_id=task_id, cursor=cursor, limit=wire.LINES_MAX)
            page = await self._request(order, wire.VoteList)
            for line in page.votes:
                yield line
            if (cursor := page.next) is None:
                return

    async def events(self) -> AsyncGenerator[SubnetEvent]:
        """What the server tells, until the connection ends: each once, also across reconnects.

        An event is acknowledged once you come back for the next one. Tasks to answer and votes to cast come again to
        the next process with this key until they are done.
        """
        async with aclosing(self._inbox.follow()) as news:
            async for event in news:
                yield event  # type: ignore[misc]

    # contributors

    async def add_contributor(self, hotkey: str) -> wire.ContributorAdded:
        """Let a key see and answer your tasks as a miner."""
        return await self._request(wire.AddContributor(contributor_hotkey=hotkey), wire.ContributorAdded)

    async def revoke_contributor(self, hotkey: str) -> wire.ContributorRemoved:
        """Let a contributor of yours see and answer nothing any more, at once."""
        return await self._request(wire.RevokeContributor(contributor_hotkey=hotkey), wire.ContributorRemoved)

    async def leave_miner(self) -> wire.ContributorRemoved:
        """Stop contributing to the miner you help."""
        return await self._request(wire.LeaveMiner(), wire.ContributorRemoved)

    async def contributors(self) -> wire.ContributorList:
        """Who helps you, and the miner that you help."""
        return await self._request(wire.ListContributors(), wire.ContributorList)

    # the connection

    async def start(self) -> None:
        """Ready when it returns; `connect_subnet` calls it."""
        await self._link.start()
        self._ending = asyncio.create_task(self._end_with_link())

    async def stop(self) -> None:
        """Leave; `connect_subnet` calls it."""
        if self._ending is None:
            return
        await self._link.stop()
        await self._ending
        for renewing in list(self._renewing):
            renewing.cancel()
        await asyncio.gather(*self._renewing, return_exceptions=True)

    async def hear(self, envelope: Envelope) -> None:
        """What the link calls for every push and signal."""
        await self._inbox.hear(envelope)

    def came_back(self) -> None:
        """What the link calls for every new connection: what this key is there for ended with the one before."""
        if self._registered is not None:
            renewing = asyncio.create_task(self._renew(self._registered))
            self._renewing.add(renewing)
            renewing.add_done_callback(self._renewing.discard)

    async def _renew(self, order: wire.Register) -> None:
        with suppress(VaultClientError):  # what ended the link is told to whoever asks for something
            await self._link.request(order, background=True)

    async def _request(self, message: Message, expected: type[Reply]) -> Reply:
        check_fields(message)
        reply = await self._link.request(message)
        if not isinstance(reply, expected):
            raise VaultClientError(
                f"The server answered {message.SHAPE.wire_type!r} with {reply.SHAPE.wire_type!r}.",
                "Check that server and client are of one version.",
            )
        return reply

    async def _end_with_link(self) -> None:
        self._inbox.close(await self._link.ended())
