"""A market for tests of the hive's client side: a real server, people who post on /hive, agents with their keys."""

from __future__ import annotations

import secrets
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from protocol import hive as ask
from protocol import hive_records as shown
from protocol import hive_replies as wire
from protocol.envelope import Message
from protocol.errors import Code, MessageError
from tests.hive_dialling import Accounts, HiveSocket, dial_hive
from tests.processes import Server

E = TypeVar("E", bound=Message)

TITLE = "Sort these numbers"
DESCRIPTION = "There are twelve numbers, and they ought to be in order."


class Poster:
    """A person on /hive: posts, accepts, judges, and has agents of his own."""

    def __init__(self, socket: HiveSocket, session: str) -> None:
        self.socket = socket
        self.session = session
        self._events: list[Message] = []

    async def agent(self, name: str = "robot", **fields: Any) -> tuple[int, str]:
        """Register an agent: its number and its API key."""
        order = ask.RegisterAgent(name=name, description="It does things.", **fields)
        made = await self.socket.ask(order, wire.AgentKey)
        return made.agent.id, made.api_key

    async def post(self, **fields: Any) -> int:
        """A task; its number."""
        order = ask.PostTask(**{"title": TITLE, "description": DESCRIPTION, "budget_credits": 200, **fields})
        return (await self.socket.ask(order, wire.TaskShown)).task.id

    async def event(self, kind: type[E], task: int) -> E:
        """The next event of this kind about this task; others stay for later calls."""
        while True:
            for held in self._events:
                if isinstance(held, kind) and held.task_id == task:  # type: ignore[attr-defined]
                    self._events.remove(held)
                    return held
            event, seq = await self.socket.pushed(kind)
            await self.socket.acknowledge(seq)
            self._events.append(event)

    async def bid(self, task: int) -> wire.ClaimCreated:
        """The next bid on this task."""
        return await self.event(wire.ClaimCreated, task)

    async def accept_bid(self, task: int) -> int:
        """Accept the next bid on this task; its claim's number."""
        claim = (await self.bid(task)).claim_id
        await self.accept_claim(task, claim)
        return claim

    async def accept_claim(self, task: int, claim: int) -> None:
        """Give the task to who made this claim."""
        await self.socket.ask(ask.AcceptClaim(task_id=task, claim_id=claim), wire.ClaimAccepted)

    async def cancel(self, task: int) -> None:
        """Withdraw a task."""
        await self.socket.ask(ask.CancelTask(task_id=task), wire.TaskMoved)

    async def work(self, task: int) -> shown.Deliverable:
        """What is handed in next for this task."""
        event = await self.event(wire.DeliverableSubmitted, task)
        return next(each for each in await self.works(task) if each.id == event.deliverable_id)

    async def works(self, task: int) -> list[shown.Deliverable]:
        """All that was handed in."""
        return list((await self.socket.ask(ask.ListDeliverables(task_id=task), wire.DeliverableList)).deliverables)

    async def revise(self, work: shown.Deliverable, notes: str) -> None:
        """Ask for changes."""
        order = ask.RequestRevision(task_id=work.task_id, deliverable_id=work.id, revision_notes=notes)
        await self.socket.ask(order, wire.DeliverableShown)

    async def accept(self, work: shown.Deliverable) -> wire.TaskCompleted:
        """Take the work."""
        order = ask.AcceptDeliverable(task_id=work.task_id, deliverable_id=work.id)
        return await self.socket.ask(order, wire.TaskCompleted)

    async def task(self, task: int) -> shown.Task:
        """A task as it is now."""
        return (await self.socket.ask(ask.GetTask(task_id=task), wire.TaskShown)).task

    async def withdrawn(self, task: int) -> wire.ClaimWithdrawn:
        """The next time that an agent gives this task up."""
        return await self.event(wire.ClaimWithdrawn, task)

    async def rollback(self, task: int) -> None:
        """Take a task back that nobody has begun."""
        await self.socket.ask(ask.RollbackTask(task_id=task), wire.TaskMoved)

    async def reclaim(self, task: int) -> bool:
        """Take a task back whose deadline has passed; whether it has."""
        try:
            await self.socket.ask(ask.ReclaimTask(task_id=task), wire.TaskMoved)
        except MessageError as refusal:
            if refusal.code is Code.INVALID_STATUS:
                return False
            raise
        return True

    async def revoke(self, agent: int) -> None:
        """End an agent's key."""
        await self.socket.ask(ask.RevokeKey(agent_id=agent), wire.OwnAgentShown)

    async def switch(self, agent: int, status: str) -> None:
        """Pause an agent, or let it go on."""
        await self.socket.ask(ask.SetAgentStatus(agent_id=agent, status=status), wire.AgentShown)


class Market:
    """Made by `market_of`."""

    def __init__(self, server: Server, stack: AsyncExitStack) -> None:
        self.server = server
        self._accounts = Accounts(server)
        self._stack = stack

    async def person(self, *, role: str = "both") -> Poster:
        """Somebody registers, logs in, and connects."""
        session = self._accounts.person(f"p{secrets.token_hex(6)}", role=role)
        return Poster(await self._connect(session), session)

    async def back(self, poster: Poster) -> Poster:
        """The same person on a new connection."""
        poster.socket = await self._connect(poster.session)
        return poster

    async def _connect(self, session: str) -> HiveSocket:
        socket = await dial_hive(self.server.url, session=session, origin=self._accounts.origin)
        return await self._stack.enter_async_context(socket)


@asynccontextmanager
async def market_of(server: Server) -> AsyncIterator[Market]:
    """Open the market of a server that runs."""
    async with AsyncExitStack() as stack:
        yield Market(server, stack)


def key_file(folder: Path, key: str, name: str = "agent.key") -> Path:
    """A key as its owner keeps it."""
    path = folder / name
    path.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
    path.write_text(key + "\n")
    return path
