"""The subnet's operations on a real database, without sockets, with time in the test's hand.

Orders go through the real router, transactions, deadlines and renderers; only the event loop's dispatcher, alarm and
pump are replaced by plain calls.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from protocol import subnet as wire
from protocol.envelope import Message
from protocol.errors import Code, MessageError
from tests.vault_server.people import participant
from vault_server.core.operation import SERVER, Caller, Effect, LogEvent, Query, Reader, Transaction
from vault_server.dispatch.router import Router
from vault_server.exchange import deadlines, outbox
from vault_server.exchange import invariants as of_the_exchange
from vault_server.exchange.cipher import Cipher
from vault_server.exchange.outbox import Acknowledged
from vault_server.settings import Settings
from vault_server.storage.database import Database
from vault_server.systems.subnet import invariants as of_the_subnet
from vault_server.systems.subnet.orders import LeaveParticipant
from vault_server.systems.subnet.records import Parts
from vault_server.systems.subnet.system import subnet

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
WINDOW_MS = 6 * HOUR_MS

VAL, MIA, MAX, HAL = (participant(name) for name in ("validator", "miner", "second miner", "helper"))
VOTERS = [participant(f"voter {number}") for number in range(10)]
ANN, BOB, EVE = VOTERS[:3]
STRANGER = participant("stranger")

REFERENCE, ANSWER = '"the reference"', '"the answer"'
METADATA = '{"prompt":"say something"}'


def settings_for(folder: Path, **settings: Any) -> Settings:
    """The defaults, on a database of the test's own."""
    return Settings(**{"database": folder / "vault.db", "node": "here", **settings})


def violations(reader: Reader) -> list[str]:
    """What `vault-server check` would say of these rows."""
    invariants = [*of_the_exchange.INVARIANTS, *of_the_subnet.INVARIANTS]
    return [f"{each.name}: {found}" for each in invariants for found in each.violations(reader)]


class Subnet:
    """Give orders, let time pass, look at rows and pushes."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.parts = Parts(settings, Cipher(b"m" * 32, secrets.token_bytes), secrets.token_bytes)
        self.parts.cipher.hash_key = b"h" * 32  # as every server on this database would find it
        self.now_ms = START_MS
        self.effects: list[Effect] = []
        self.system = subnet(self.parts)
        self._router = Router([outbox.ACKNOWLEDGE, *self.system.operations])
        self._renderers = {push.kind: push.render for push in self.system.pushes}

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

    async def give_all(self, orders: Sequence[tuple[Caller, Any]]) -> list[Any]:
        """Have many orders carried out, in as few transactions as the database can; all must succeed."""

        def work(caller: Caller, order: Any) -> Callable[[Transaction], Any]:
            return lambda tx: self._router.route(caller, order).handler(tx, caller, order, self.now_ms)

        outcomes = await self.database.transact([work(caller, order) for caller, order in orders])
        assert [outcome.error for outcome in outcomes if outcome.error is not None] == []
        return [outcome.value for outcome in outcomes]

    async def refused(self, caller: Caller, order: Any) -> MessageError:
        """Have one order refused; every refusal says what to do next."""
        with pytest.raises(MessageError) as caught:
            await self.give(caller, order)
        assert caught.value.message
        assert caught.value.suggestion
        return caught.value

    # orders, shortly

    async def register(self, *who: Caller, mining: bool | None = None, judging: bool | None = None) -> None:
        """They take part, a millisecond before whatever comes next."""
        for one in who:
            await self.give(one, wire.Register(mining=mining, judging=judging))
        self.now_ms += 1

    async def leave(self, who: Caller) -> None:
        """His last connection is gone."""
        await self.give(who, LeaveParticipant())

    async def create(self, validator: Caller = VAL, miner: Caller | None = MIA, **fields: Any) -> int:
        """A task, assigned to `miner` unless the server is to pick; its id."""
        values: dict[str, Any] = {
            "task_type": "talk",
            "task_metadata": METADATA,
            "validator_completion": REFERENCE,
            "assigned_miner_hotkey": None if miner is None else miner.hotkey,
            **fields,
        }
        reply: wire.TaskCreated = await self.give(validator, wire.CreateTask(**values))
        return reply.task_id

    async def submit(self, task: int, who: Caller = MIA, completion: str = ANSWER) -> wire.CompletionTaken:
        """The task is answered."""
        reply: wire.CompletionTaken = await self.give(who, wire.SubmitCompletion(task_id=task, completion=completion))
        self.now_ms += 1
        return reply

    async def submitted(self, *, by: Caller = MIA, **fields: Any) -> int:
        """A task that is being judged; its id."""
        task = await self.create(**fields)
        await self.submit(task, by)
        return task

    def label(self, task: int, voter: Caller, side: str) -> str:
        """Under which label this voter sees that side's completion: only a test may know."""
        reference = self.parts.reference_label(task, voter.hotkey)
        return reference if side == "validator" else "ba"["ab".index(reference)]

    async def vote(self, task: int, voter: Caller, side: str, *, against: bool = False) -> wire.VoteTaken:
        """A vote for one side's completion."""
        chosen = self.label(task, voter, side)
        order = wire.Vote(task_id=task, chosen=chosen, against="ba"["ab".index(chosen)] if against else None)
        reply: wire.VoteTaken = await self.give(voter, order)
        return reply

    async def link(self, miner: Caller = MIA, contributor: Caller = HAL) -> None:
        """The contributor helps the miner."""
        await self.give(miner, wire.AddContributor(contributor_hotkey=contributor.hotkey))

    # time

    async def wait(self, ms: int) -> None:
        """Let time pass; what falls due happens at its end."""
        self.now_ms += ms
        while rows := await self.database.read(partial(deadlines.due, now_ms=self.now_ms)):
            for row in rows:
                await self._carry_out(row["name"], row["subject"])

    async def _carry_out(self, name: str, subject: str) -> None:
        def guard(tx: Transaction) -> bool:
            return deadlines.take(tx, name, subject, self.now_ms)

        await self.give(SERVER, self.system.deadlines[name](subject), guard)

    async def restart(self, down_ms: int = 0) -> None:
        """The server is killed, away for a while, and carries on from its rows."""
        await self.database.stop()
        self.now_ms += down_ms
        await self.database.start()
        for order in self.system.starting:
            await self.give(SERVER, order)
        await self.wait(0)

    # looking

    async def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """Rows of a SELECT."""
        found = await self.database.read(lambda reader: reader.all(Query("test", sql), **values))
        return [dict(row) for row in found]

    async def row(self, sql: str, **values: Any) -> dict[str, Any]:
        """The only row of a SELECT."""
        [row] = await self.rows(sql, **values)
        return row

    async def status(self, task: int) -> str:
        """A task's status, as its row says."""
        return str((await self.row("SELECT status FROM subnet_tasks WHERE id = :id", id=task))["status"])

    async def score(self, who: Caller) -> float:
        """A participant's reputation."""
        row = await self.row("SELECT reputation_score FROM participants WHERE hotkey = :hotkey", hotkey=who.hotkey)
        return float(row["reputation_score"])

    async def history(self, who: Caller) -> list[tuple[float, str]]:
        """A participant's changes of score and their reasons, oldest first."""
        rows = await self.rows(
            "SELECT score_change, reason FROM score_history WHERE hotkey = :hotkey ORDER BY id", hotkey=who.hotkey
        )
        return [(row["score_change"], row["reason"]) for row in rows]

    async def shown(self, task: int, who: Caller) -> wire.TaskShown:
        """A task as somebody sees it."""
        reply: wire.TaskShown = await self.give(who, wire.GetTask(task_id=task))
        return reply

    async def pushes(self, receiver: Caller) -> list[Message]:
        """What waits for somebody, as it would be sent."""
        return [message for _, message in await self.waiting(receiver)]

    async def pushed(self, receiver: Caller) -> list[str]:
        """The wire names of what waits for somebody."""
        return [message.SHAPE.wire_type for message in await self.pushes(receiver)]

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


NOT_THERE = Code.TASK_NOT_FOUND
"""What whoever has nothing to do with a task is told."""
