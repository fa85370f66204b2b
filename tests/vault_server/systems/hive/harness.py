"""The hive's operations on a real database, without sockets, with time in the test's hand.

Orders go through the real router, transactions, deadlines and renderers; only the event loop's dispatcher, alarm and
pump are replaced by plain calls.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from protocol import hive as wire
from protocol import hive_records as shown
from protocol import hive_replies as reply
from protocol.envelope import Message
from protocol.errors import Code, MessageError
from vault_server.core.operation import OPERATOR, SERVER, Caller, Effect, Endpoint, LogEvent, Query, Reader, Transaction
from vault_server.dispatch.router import Router
from vault_server.exchange import deadlines, outbox
from vault_server.exchange import invariants as of_the_exchange
from vault_server.exchange.cipher import Cipher
from vault_server.exchange.outbox import Acknowledged
from vault_server.settings import Settings
from vault_server.storage.database import Database
from vault_server.systems.hive import invariants as of_the_hive
from vault_server.systems.hive.orders import AppointAdmin, RegisterUser
from vault_server.systems.hive.records import Parts
from vault_server.systems.hive.system import hive

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000

TITLE = "Sort these numbers"
DESCRIPTION = "There are twelve numbers, and they ought to be in order."
PASSWORD_HASH = "$argon2id$of-a-test"

CODING = 1


def settings_for(folder: Path, **settings: Any) -> Settings:
    """The defaults, on a database of the test's own."""
    return Settings(**{"database": folder / "vault.db", "node": "here", **settings})


def violations(reader: Reader) -> list[str]:
    """What `vault-server check` would say of these rows."""
    invariants = [*of_the_exchange.INVARIANTS, *of_the_hive.INVARIANTS]
    return [f"{each.name}: {found}" for each in invariants for found in each.violations(reader)]


def user(number: int) -> Caller:
    """The person with this id."""
    return Caller("", "", Endpoint.HIVE, "192.0.2.1", f"user:{number}")


def agent(number: int) -> Caller:
    """The agent with this id."""
    return Caller("", "", Endpoint.HIVE, "192.0.2.1", f"agent:{number}")


def number_of(caller: Caller) -> int:
    """The id of a person or an agent."""
    return int(caller.account.partition(":")[2])


class Hive:
    """Give orders, let time pass, look at rows and events."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.parts = Parts(settings, Cipher(b"m" * 32, secrets.token_bytes), secrets.token_bytes)
        self.parts.cipher.hash_key = b"h" * 32  # as every server on this database would find it
        self.now_ms = START_MS
        self.effects: list[Effect] = []
        self.system = hive(self.parts)
        self._router = Router([outbox.ACKNOWLEDGE, *self.system.operations])
        self._renderers = {push.kind: push.render for push in self.system.pushes}

    async def start(self) -> None:
        """As the server does before the first connection."""
        await self.database.start()
        for order in self.system.starting:
            await self.give(SERVER, order)

    async def give(self, caller: Caller, order: Any, guard: Callable[[Transaction], bool] | None = None) -> Any:
        """Have one order carried out; its reply. Raises what the operation raises."""
        operation = self._router.route(caller, order)

        def work(tx: Transaction) -> Message | None:
            return operation.handler(tx, caller, order, self.now_ms) if guard is None or guard(tx) else None

        [outcome] = await self.database.transact([work])
        if outcome.error is not None:
            raise outcome.error
        self.effects += outcome.effects
        return outcome.value

    async def at_once(self, *asked: tuple[Caller, Any]) -> list[Any]:
        """Orders that arrive at the same moment, each in a transaction of its own: replies and codes, in order."""

        async def one(caller: Caller, order: Any) -> Any:
            try:
                return await self.give(caller, order)
            except MessageError as refusal:
                return refusal.code

        return await asyncio.gather(*(one(caller, order) for caller, order in asked))

    async def refused(self, caller: Caller, order: Any) -> Code:
        """Have one order refused; every refusal names the thing and says what to do next."""
        with pytest.raises(MessageError) as caught:
            await self.give(caller, order)
        assert caught.value.message
        assert caught.value.suggestion
        return caught.value.code

    # people and agents

    async def person(self, name: str = "ann", role: str = "both") -> Caller:
        """Somebody registers."""
        order = RegisterUser(f"{name}@example.org", name, role, PASSWORD_HASH)
        registered: reply.AccountShown = await self.give(SERVER, order)
        return user(registered.account.id)

    async def admin(self, name: str = "admin") -> Caller:
        """Somebody registers and is made an admin."""
        registered = await self.person(name)
        await self.give(OPERATOR, AppointAdmin(f"{name}@example.org"))
        return registered

    async def agent(self, operator: Caller, name: str = "robot", **fields: Any) -> Caller:
        """A person registers an agent."""
        order = wire.RegisterAgent(name=name, description="It does things.", **fields)
        registered: reply.AgentKey = await self.give(operator, order)
        return agent(registered.agent.id)

    # the way of a task

    async def post(self, poster: Caller, **fields: Any) -> int:
        """A task; its id."""
        values: dict[str, Any] = {"title": TITLE, "description": DESCRIPTION, "budget_credits": 200, **fields}
        posted: reply.TaskShown = await self.give(poster, wire.PostTask(**values))
        return posted.task.id

    async def claim(self, who: Caller, task: int, credits: int = 150) -> int:
        """A bid; its id."""
        made: reply.ClaimShown = await self.give(who, wire.ClaimTask(task_id=task, proposed_credits=credits))
        return made.claim.id

    async def claimed(self, poster: Caller, who: Caller, **fields: Any) -> int:
        """A task that an agent has; its id."""
        task = await self.post(poster, **fields)
        await self.give(poster, wire.AcceptClaim(task_id=task, claim_id=await self.claim(who, task, 10)))
        return task

    async def deliver(self, who: Caller, task: int, content: str = "1, 2, 3") -> int:
        """Work; its id."""
        taken: reply.DeliverableShown = await self.give(who, wire.Deliver(task_id=task, content=content))
        return taken.deliverable.id

    async def delivered(self, poster: Caller, who: Caller, **fields: Any) -> tuple[int, int]:
        """A task with work under review; both ids."""
        task = await self.claimed(poster, who, **fields)
        return task, await self.deliver(who, task)

    async def accept(self, poster: Caller, task: int, deliverable: int) -> reply.TaskCompleted:
        """The work is taken."""
        order = wire.AcceptDeliverable(task_id=task, deliverable_id=deliverable)
        completed: reply.TaskCompleted = await self.give(poster, order)
        return completed

    async def completed(self, poster: Caller, who: Caller, **fields: Any) -> int:
        """A task that was done and paid; its id."""
        task, deliverable = await self.delivered(poster, who, **fields)
        await self.accept(poster, task, deliverable)
        return task

    async def disputed(self, poster: Caller, who: Caller, **fields: Any) -> int:
        """A task that an admin has to decide; its id."""
        task, _ = await self.delivered(poster, who, **fields)
        await self.give(poster, wire.DisputeTask(task_id=task, reason="It is not sorted."))
        return task

    # time

    async def wait(self, ms: int) -> None:
        """Let time pass; what falls due happens at its end."""
        self.now_ms += ms
        while rows := await self.database.read(partial(deadlines.due, now_ms=self.now_ms)):
            for row in rows:
                guard = partial(deadlines.take, name=row["name"], subject=row["subject"], now_ms=self.now_ms)
                await self.give(SERVER, self.system.deadlines[row["name"]](row["subject"]), guard)

    async def tidy(self) -> int:
        """What is done once a day; how many rows went."""
        [tidying] = self.system.tidying
        [outcome] = await self.database.transact([lambda tx: tidying(tx, self.now_ms)])
        assert outcome.error is None, outcome.error
        return int(outcome.value)

    # looking

    async def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """Rows of a SELECT."""
        found = await self.database.read(lambda reader: reader.all(Query("test", sql), **values))
        return [dict(row) for row in found]

    async def row(self, sql: str, **values: Any) -> dict[str, Any]:
        """The only row of a SELECT."""
        [row] = await self.rows(sql, **values)
        return row

    async def task(self, task: int, who: Caller | None = None) -> shown.Task:
        """A task as somebody sees it: the first agent's operator unless said otherwise."""
        found: reply.TaskShown = await self.give(who or user(2), wire.GetTask(task_id=task))
        return found.task

    async def status(self, task: int) -> str:
        """A task's status, as its row says."""
        return str((await self.row("SELECT status FROM hive_tasks WHERE id = :id", id=task))["status"])

    async def claim_status(self, claim: int) -> str:
        """A claim's status, as its row says."""
        return str((await self.row("SELECT status FROM task_claims WHERE id = :id", id=claim))["status"])

    async def deliverable_status(self, deliverable: int) -> str:
        """A deliverable's status, as its row says."""
        return str((await self.row("SELECT status FROM deliverables WHERE id = :id", id=deliverable))["status"])

    async def balance(self, who: Caller) -> int:
        """A person's credits."""
        row = await self.row("SELECT credit_balance FROM users WHERE id = :id", id=number_of(who))
        return int(row["credit_balance"])

    async def ledger(self, who: Caller) -> list[tuple[str, int, int]]:
        """A person's rows: type, amount, balance; oldest first."""
        rows = await self.rows(
            "SELECT type, amount, balance_after FROM credit_transactions WHERE user_id = :id ORDER BY id",
            id=number_of(who),
        )
        return [(row["type"], row["amount"], row["balance_after"]) for row in rows]

    async def agent_row(self, who: Caller) -> dict[str, Any]:
        """An agent's row."""
        return await self.row("SELECT * FROM agents WHERE id = :id", id=number_of(who))

    async def score(self, who: Caller) -> float:
        """An agent's reputation."""
        return float((await self.agent_row(who))["reputation_score"])

    async def events(self, receiver: Caller) -> list[Message]:
        """What waits for somebody, as it would be sent."""
        return [message for _, message in await self.waiting(receiver)]

    async def told(self, receiver: Caller) -> list[str]:
        """The names of what waits for somebody."""
        return [message.SHAPE.wire_type for message in await self.events(receiver)]

    async def acknowledge(self, *receivers: Caller) -> None:
        """Acknowledge all that waits."""
        for receiver in receivers:
            for seq, _ in await self.waiting(receiver):
                await self.give(receiver, Acknowledged((seq,)))

    async def waiting(self, receiver: Caller) -> list[tuple[int, Message]]:
        """The same with their numbers."""

        def read(reader: Reader) -> list[tuple[int, Message | None]]:
            rows = outbox.of_receiver(reader, receiver.subject, receiver.endpoint, 0, 10_000)
            return [(row["seq"], self._renderers[row["kind"]](reader, row)) for row in rows]

        return [(seq, message) for seq, message in await self.database.read(read) if message is not None]

    def logged(self, event: str) -> list[Mapping[str, Any]]:
        """The fields of all log lines of one event."""
        return [effect.fields for effect in self.effects if isinstance(effect, LogEvent) and effect.event == event]
