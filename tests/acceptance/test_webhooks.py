"""Webhooks from a real server to a real receiver: signed, in order, again after kill -9, and nowhere private."""

from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.hive_json import to_json
from protocol.hive_records import EVENTS, Webhook
from tests.acceptance.hive_people import Agent, People, claimed, posted
from tests.conftest import StartServer
from tests.hive_dialling import HiveSocket
from tests.house.tree import ROOT
from tests.processes import Server
from tests.receivers import Received, Receiver, in_turn, raw, status

SETTINGS: dict[str, object] = {
    "hive_requests_max": 100_000,
    "hive_webhook_allow_private": True,
    "hive_webhook_timeout_ms": 1000,
    "hive_webhook_retry_ms": 20,
}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def people(shared_server: Server) -> AsyncIterator[People]:
    """On the server of most of these tests."""
    yield People(shared_server)


async def hooked(robot: HiveSocket, url: str) -> tuple[int, str]:
    """A webhook for everything; its id and secret."""
    made = await robot.ask(wire.AddWebhook(url=url, events=EVENTS), reply.WebhookSecret)
    return made.webhook.id, made.secret


async def shown(robot: HiveSocket, webhook: int) -> Webhook:
    """As its owner sees it."""
    found = (await robot.ask(wire.ListWebhooks(), reply.WebhookList)).webhooks
    return next(each for each in found if each.id == webhook)


async def refuse(ann: HiveSocket, robot: HiveSocket, task: int, times: int = 1) -> list[int]:
    """Bids that Ann refuses: a claim.rejected each; their ids."""
    claims = []
    for _ in range(times):
        claims.append(await claimed(robot, task))
        await ann.ask(wire.RejectClaim(task_id=task, claim_id=claims[-1]), reply.ClaimShown)
    return claims


async def test_every_event_comes_in_order_and_verifies(people: People) -> None:
    robot_ = await people.agent()
    with Receiver() as receiver:
        async with await people.ann() as ann, await people.at_work(robot_) as robot:
            webhook, secret = await hooked(robot, receiver.url)
            claims = await refuse(ann, robot, await posted(ann), times=12)
            received = await receiver.have(12)
            pushed = [await robot.pushed(reply.ClaimLost) for _ in claims]
            opened = [each.opened(secret) for each in received]
            assert [each["data"]["claim_id"] for each in opened] == claims
            assert [each["data"] for each in opened] == [to_json(event) for event, _ in pushed]
            assert {each["type"] for each in opened} == {"claim.rejected"}
            assert len({each.id for each in received}) == 12
            await people.server.event("webhook.sent", webhook=webhook, count=12)
            state = await shown(robot, webhook)
            assert (state.is_active, state.failure_count) == (True, 0)
            assert state.last_triggered_at is not None
    assert secret not in people.server.log_path.read_text()
    assert "hush" not in people.server.log_path.read_text()


async def test_both_secrets_sign_while_one_is_rotated(people: People) -> None:
    robot_ = await people.agent()
    with Receiver() as receiver:
        async with await people.ann() as ann, await people.at_work(robot_) as robot:
            webhook, old = await hooked(robot, receiver.url)
            new = (await robot.ask(wire.RotateWebhookSecret(webhook_id=webhook), reply.WebhookSecret)).secret
            await refuse(ann, robot, await posted(ann))
            [received] = await receiver.have(1)
            assert received.opened(old) == received.opened(new)


async def test_a_delivery_that_fails_comes_again_under_its_id(people: People) -> None:
    robot_ = await people.agent()
    with Receiver() as elsewhere:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with Receiver(in_turn(raw(moved), status(204))) as receiver:
            async with await people.ann() as ann, await people.at_work(robot_) as robot:
                webhook, secret = await hooked(robot, receiver.url)
                await refuse(ann, robot, await posted(ann))
                one, other = await receiver.have(2)
                assert one.id == other.id
                assert one.opened(secret) == other.opened(secret)
                await people.server.event("webhook.sent", webhook=webhook, attempt=2)
                assert (await shown(robot, webhook)).failure_count == 0
        assert elsewhere.connections == 0, "a redirect is not followed"
    [line] = people.server.find("webhook.failed", webhook=webhook)
    assert line["reason"] == "status 307"


async def test_ten_failures_in_a_row_end_a_webhook(people: People) -> None:
    robot_ = await people.agent()
    with Receiver(status(503)) as receiver:
        async with await people.ann() as ann, await people.at_work(robot_) as robot:
            webhook, _ = await hooked(robot, receiver.url)
            await refuse(ann, robot, await posted(ann), times=7)
            await people.server.event("webhook.deactivated", webhook=webhook)
            state = await shown(robot, webhook)
            assert (state.is_active, state.failure_count) == (False, 10)
            assert len(people.server.find("webhook.dropped", webhook=webhook)) == 4
            assert len(receiver.received) == 10
            assert waiting(people.server, webhook) == 0
            again, secret = await hooked(robot, receiver.url)
            receiver.answer = status(200)
            await refuse(ann, robot, await posted(ann))
            await people.server.event("webhook.sent", webhook=again)
            assert receiver.received[10].opened(secret)["type"] == "claim.rejected"
            assert len(receiver.received) == 11


async def test_receivers_that_hang_or_never_end_hold_up_nobody_else(people: People) -> None:
    robot_ = await people.agent()

    def endless(_received: Received, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    with Receiver() as hanging, Receiver(endless) as huge, Receiver() as good:
        hanging.answer = hanging.hold
        async with await people.ann() as ann, await people.at_work(robot_) as robot:
            hung, _ = await hooked(robot, hanging.url)
            filled, _ = await hooked(robot, huge.url)
            swift, _ = await hooked(robot, good.url)
            await refuse(ann, robot, await posted(ann), times=3)
            await good.have(3)
            await people.server.event("webhook.sent", webhook=swift, count=3)
            await people.server.event("webhook.sent", webhook=filled, count=3)
            line = await people.server.event("webhook.failed", webhook=hung)
            assert line["reason"] == "no answer within 1 s"
            await robot.ask(wire.DeleteWebhook(webhook_id=hung), reply.WebhookDeleted)
            assert waiting(people.server, hung) == 0


async def test_the_receiver_of_the_documentation(people: People, tmp_path: Path) -> None:
    [program] = re.findall(r"```python\n(from http.server.*?)```", (ROOT / "docs" / "hive.md").read_text(), re.DOTALL)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    robot_ = await people.agent()
    async with await people.ann() as ann, await people.at_work(robot_) as robot:
        webhook, secret = await hooked(robot, f"http://127.0.0.1:{port}/")
        filled = program.replace("whsec_…", secret).replace("8000", str(port))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", filled, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await listens(port)
            [claim] = await refuse(ann, robot, await posted(ann))
            assert process.stdout is not None
            printed = await asyncio.wait_for(process.stdout.readline(), 15)
            assert printed.startswith(b"claim.rejected {'agent_id': %d, 'claim_id': %d," % (robot_.id, claim))
            await people.server.event("webhook.sent", webhook=webhook)
        finally:
            process.kill()
            await process.wait()


async def listens(port: int) -> None:
    """Wait until somebody takes connections there."""
    async with asyncio.timeout(15):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def test_metrics_say_what_waits(people: People) -> None:
    def read() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{people.server.http_port}/metrics") as answer:
            return str(answer.read().decode())

    text = await asyncio.to_thread(read)
    assert "\nvault_hive_deliveries_waiting " in text
    for state in ("active", "failing", "inactive"):
        assert f'\nvault_hive_webhooks{{state="{state}"}} ' in text


# servers of their own


async def test_who_is_killed_sends_what_waits_after_the_restart_and_what_was_sent_again(
    start_server: StartServer,
) -> None:
    one_thread: dict[str, object] = {"hive_webhook_threads": 1, "hive_webhook_slow_threads": 1}
    server = await start_server("server", **SETTINGS, **one_thread)
    people = People(server)
    robot_, other_ = await people.agent(), await people.agent("other")
    with Receiver() as first, Receiver() as second:
        first.answer = first.hold
        async with (
            await people.ann() as ann,
            await people.at_work(robot_) as robot,
            await people.at_work(other_) as other,
        ):
            _, secret = await hooked(robot, first.url)
            _, other_secret = await hooked(other, second.url)
            task = await posted(ann)
            await refuse(ann, robot, task)
            await first.have(1)  # it was sent, and nothing is written of that
            await refuse(ann, other, task)  # this one waits for the only thread
            await server.kill()
        assert second.received == []
        first.answer = status(200)
        await server.start()
        [received] = await second.have(1)
        assert received.opened(other_secret)["type"] == "claim.rejected"
        *_, one, again = await first.have(2)
        assert (one.id, one.body) == (again.id, again.body)
        assert again.opened(secret)["type"] == "claim.rejected"
        await server.event("webhook.sent", count=2)
        await stopping_concludes(server, people, robot_, second)


async def stopping_concludes(server: Server, people: People, robot_: Agent, receiver: Receiver) -> None:
    """SIGTERM while an answer is awaited: the process waits for it, for a bounded time, and writes it down."""

    def slowly(_received: Received, connection: socket.socket) -> None:
        receiver.may_end.wait(0.2)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    receiver.answer = slowly
    async with await people.ann() as ann, await people.at_work(robot_) as robot:
        webhook, _ = await hooked(robot, receiver.url)
        await refuse(ann, robot, await posted(ann))
        await receiver.have(2)
        assert await server.terminate() == 0
    assert waiting(server, webhook) == 0
    assert len(receiver.received) == 2


async def test_a_server_with_the_usual_settings_sends_nothing_to_its_own_machine(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = await start_server(hive_webhook_retry_ms=20)
    people = People(server)
    robot_ = await people.agent()
    with Receiver(host="0.0.0.0") as receiver:
        async with await people.ann() as ann, await people.at_work(robot_) as robot:
            webhook, _ = await hooked(robot, f"https://localhost:{receiver.port}/hook?token=hush")
            await refuse(ann, robot, await posted(ann))
            line = await server.event("webhook.failed", webhook=webhook, attempt=2)
            assert line["reason"].startswith("refused: ")
            assert line["host"] == f"localhost:{receiver.port}"
            state = await shown(robot, webhook)
            assert (state.failure_count, state.is_active) == (2, True)
        assert receiver.connections == 0


def waiting(server: Server, webhook: int) -> int:
    """How many events wait for a webhook."""
    with closing(sqlite3.connect(server.database)) as raw_rows:
        asked = "SELECT count(*) FROM outbox WHERE receiver = ? AND endpoint = 'webhook'"
        return int(raw_rows.execute(asked, [f"webhook:{webhook}"]).fetchone()[0])
