"""The hive in the whole server: orders through its dispatcher, events through its pump, secrets under a new key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable
from pathlib import Path
from typing import Any

import pytest

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.envelope import Message
from protocol.errors import Code, MessageError
from tests.vault_server.systems.hive.harness import PASSWORD_HASH, agent, user
from vault_server import keys
from vault_server.app import App
from vault_server.core.operation import OPERATOR, SERVER, Caller, Endpoint, Query
from vault_server.exchange.outbox import Acknowledged
from vault_server.exchange.rekeying import RotateMasterKey
from vault_server.settings import Settings
from vault_server.systems.hive.orders import RegisterUser


class Socket:
    """A connection, as the pump sees one."""

    def __init__(self) -> None:
        self.pushed: asyncio.Queue[tuple[int, Message]] = asyncio.Queue()

    def push(self, seq: int, message: Message) -> None:
        self.pushed.put_nowait((seq, message))

    def grant(self, allowances: Iterable[Hashable]) -> None: ...

    def revoke(self, allowances: Iterable[Hashable]) -> None: ...


class InServer:
    """A server in this process, and how orders get to its dispatcher."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(database=folder / "vault.db", port=0, http_port=0)
        self.app = self._made()

    def _made(self) -> App:
        master_keys, _ = keys.load_master_keys(self.settings.files, None)
        identity, _ = keys.load_identity(self.settings.files)
        return App(self.settings, identity, master_keys)

    async def give(self, caller: Caller, order: Any) -> Any:
        return await self.app._dispatcher.call(caller, order)

    async def restart(self) -> None:
        await self.app.stop()
        self.app = self._made()
        await self.app.start()

    def connect(self, who: Caller) -> Socket:
        socket = Socket()
        self.app.pump.join(socket, who.subject, Endpoint.HIVE)
        return socket


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InServer]:
    server = InServer(tmp_path)
    await server.app.start()
    yield server
    await server.app.stop()


async def people(server: InServer) -> tuple[Caller, Caller]:
    """Ann, and an agent of Bob's."""
    for name in ("ann", "bob"):
        await server.give(SERVER, RegisterUser(f"{name}@example.org", name, "both", PASSWORD_HASH))
    await server.give(user(3), wire.RegisterAgent(name="robot", description="It does things."))
    return user(2), agent(1)


async def pushed(socket: Socket) -> tuple[int, Message]:
    return await asyncio.wait_for(socket.pushed.get(), 10)


async def test_a_task_through_the_dispatcher_and_its_events_through_the_pump(server: InServer) -> None:
    ann, robot = await people(server)
    posters, agents = server.connect(ann), server.connect(robot)
    posted: reply.TaskShown = await server.give(
        ann, wire.PostTask(title="Sort numbers", description="x" * 20, budget_credits=200)
    )
    made: reply.ClaimShown = await server.give(robot, wire.ClaimTask(task_id=posted.task.id, proposed_credits=10))
    assert isinstance((await pushed(posters))[1], reply.ClaimCreated)
    await server.give(ann, wire.AcceptClaim(task_id=posted.task.id, claim_id=made.claim.id))
    seq, event = await pushed(agents)
    assert isinstance(event, reply.ClaimWon)
    await server.restart()
    again = server.connect(robot)
    assert await pushed(again) == (seq, event)  # not acknowledged: it comes again, under the same number
    await server.give(robot, Acknowledged((seq,)))
    delivered: reply.DeliverableShown = await server.give(robot, wire.Deliver(task_id=posted.task.id, content="1, 2"))
    await server.give(ann, wire.AcceptDeliverable(task_id=posted.task.id, deliverable_id=delivered.deliverable.id))
    assert isinstance((await pushed(again))[1], reply.DeliverableAccepted)
    third = server.connect(robot)
    assert isinstance((await pushed(third))[1], reply.DeliverableAccepted)


async def test_a_refusal_and_what_only_the_server_orders(server: InServer) -> None:
    ann, robot = await people(server)
    with pytest.raises(MessageError) as caught:
        await server.give(robot, wire.ClaimTask(task_id=9, proposed_credits=1))
    assert caught.value.code == Code.TASK_NOT_FOUND
    for caller in (ann, robot):
        with pytest.raises(MessageError) as caught:
            await server.give(caller, RegisterUser("eve@example.org", "eve", "both", PASSWORD_HASH))
        assert caught.value.code == Code.WRONG_ENDPOINT


async def test_secrets_and_kept_replies_are_sealed_under_a_new_key(server: InServer) -> None:
    _, robot = await people(server)
    add = wire.AddWebhook(url="https://x.example/", events=("claim.accepted",), idempotency_key="k")
    told: reply.WebhookSecret = await server.give(robot, add)
    await server.give(robot, wire.RotateWebhookSecret(webhook_id=1))
    await server.give(OPERATOR, RotateMasterKey())
    sealed = Query("sealed", "SELECT w.secret, w.previous_secret, r.reply FROM webhooks w, hive_replies r")

    async def versions() -> set[int]:
        [row] = await server.app._database.read(lambda reader: reader.all(sealed))
        columns = ("secret", "previous_secret", "reply")
        return {int.from_bytes(bytes(row[column])[:2], "big") for column in columns}

    for _ in range(400):
        if await versions() == {2}:
            break
        await asyncio.sleep(0.05)
    assert await versions() == {2}
    assert (await server.give(robot, add)).secret == told.secret
    await server.give(robot, wire.RotateWebhookSecret(webhook_id=1))
