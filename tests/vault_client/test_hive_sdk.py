"""The hive's SDK against a real server: every request, events, lost connections, limits, keys that end."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from protocol import hive_records as shown
from protocol import hive_replies as wire
from protocol.errors import Code
from protocol.hive_fields import CLEARED
from tests.acceptance.test_tls import certificate
from tests.conftest import StartServer
from tests.hive_market import DESCRIPTION, TITLE, Market, key_file, market_of
from tests.processes import Server
from tests.vault_client.conftest import Relay
from vault_client import (
    ConnectionEvent,
    FileError,
    Hive,
    KeyRefused,
    NoKey,
    Refused,
    ServerNotTrusted,
    ServerUnreachable,
    connect_hive,
)
from vault_client.hive_key import find_key, read_key_file

__all__ = ["certificate"]

GENEROUS: dict[str, object] = {"hive_requests_max": 100_000}
NO_KEY = "th_agent_" + "0" * 64


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that do not stop it."""
    server = Server(tmp_path_factory.mktemp("hive"), GENEROUS)
    try:
        asyncio.run(server.start())
        yield server
    finally:
        asyncio.run(server.finish())


@pytest.fixture
async def market(shared: Server) -> AsyncIterator[Market]:
    async with market_of(shared) as market:
        yield market


async def heard(hive: Hive, kind: type) -> Any:
    """The next event of that kind; those before it are acknowledged, it is not."""
    async with asyncio.timeout(15), aclosing(hive.events()) as events:
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError("events end by raising")


# the way of a task


async def test_the_whole_way_between_two_agents(market: Market) -> None:
    ann, bob = await market.person(), await market.person()
    _, posting_key = await ann.agent("buyer")
    worker_id, working_key = await bob.agent("worker", category_ids=[1])
    url = market.server.url
    async with connect_hive(url, key=posting_key) as buyer, connect_hive(url, key=working_key) as worker:
        posted = await buyer.post_task(TITLE, DESCRIPTION, 200, category_id=1, max_revisions=1)
        assert (await heard(worker, wire.TaskNewMatch)).task_id == posted.id
        claim = await worker.claim(posted.id, 150, "I sort.")
        assert (await heard(buyer, wire.ClaimCreated)).claim_id == claim.id
        assert [each.id async for each in buyer.claims(posted.id)] == [claim.id]
        assert (await buyer.accept_claim(posted.id, claim.id)).task.status == "claimed"
        assert (await heard(worker, wire.ClaimWon)).claim_id == claim.id
        assert (await worker.start_task(posted.id)).status == "in_progress"
        first = await worker.deliver(posted.id, "3, 1, 2")
        await buyer.request_revision(posted.id, first.id, "In order, please.")
        assert (await heard(worker, wire.RevisionRequested)).revision_notes == "In order, please."
        second = await worker.deliver(posted.id, "1, 2, 3")
        assert [each.status for each in await buyer.deliverables(posted.id)] == ["revision_requested", "submitted"]
        completed = await buyer.accept_deliverable(posted.id, second.id)
        assert (completed.credits_paid, completed.platform_fee) == (180, 20)
        made = await buyer.review(posted.id, 5, quality_score=5, speed_score=4, comment="Good.")
        assert [each.id async for each in worker.reviews(worker_id)] == [made.id]
        assert await worker.credit_balance() == 100 + 180
        kinds = [line.type async for line in worker.credit_transactions()]
        assert kinds == ["payment", "bonus"]
        assert (await worker.me()).tasks_completed == 1
        assert (await buyer.agent(worker_id)).avg_rating == 5.0
        assert [task.id async for task in worker.my_tasks(status="completed")] == [posted.id]
        assert [task.id async for task in buyer.my_tasks(role="poster")] == [posted.id]
        assert [each.status async for each in worker.my_claims()] == ["accepted"]


async def test_tasks_that_are_taken_back_given_up_and_disputed(market: Market) -> None:
    ann, bob = await market.person(), await market.person()
    _, posting_key = await ann.agent()
    _, working_key = await bob.agent()
    url = market.server.url
    async with connect_hive(url, key=posting_key) as buyer, connect_hive(url, key=working_key) as worker:

        async def claimed(**fields: Any) -> tuple[int, int]:
            task = (await buyer.post_task(TITLE, DESCRIPTION, 50, **fields)).id
            claim = (await worker.claim(task, 50)).id
            await buyer.accept_claim(task, claim)
            return task, claim

        task, claim = await claimed()
        assert (await buyer.rollback_task(task)).status == "open"
        again = await worker.claim(task, 40)
        assert (await buyer.reject_claim(task, again.id)).status == "rejected"
        assert (await buyer.cancel_task(task)).status == "cancelled"
        task, claim = await claimed()
        assert (await worker.withdraw_claim(task, claim)).status == "withdrawn"
        assert (await buyer.task(task)).status == "open"
        task, _ = await claimed()
        await worker.deliver(task, "hm")
        assert (await buyer.dispute(task, "This is nothing.")).status == "disputed"
        task, _ = await claimed(max_revisions=0)
        work = await worker.deliver(task, "hm")
        assert (await buyer.reject_deliverable(task, work.id, "Nor is this.")).status == "disputed"
        with pytest.raises(Refused) as caught:
            await buyer.reclaim_task(task)
        assert caught.value.code == Code.INVALID_STATUS
        assert caught.value.suggestion


async def test_looking_bidding_at_once_and_profile(market: Market) -> None:
    ann, bob = await market.person(), await market.person()
    tasks = [await ann.post(title=f"Weigh the zebras {number}", category_id=6) for number in range(3)]
    _, key = await bob.agent()
    async with connect_hive(market.server.url, key=key) as worker:
        assert [each.slug for each in await worker.categories()][5] == "translation"
        assert [task.id async for task in worker.browse(category=6, limit=2)] == tasks[:0:-1]
        found = [task.id async for task in worker.search("zebras weigh", min_budget=200)]
        assert found == tasks[::-1]
        bids = [shown.BulkClaim(task_id=task, proposed_credits=10) for task in (*tasks, 10**9)]
        made = await worker.claim_several(bids)
        assert (made.summary.succeeded, made.summary.failed) == (3, 1)
        assert made.results[-1].code == Code.TASK_NOT_FOUND
        changed = await worker.update_me(capabilities=["weighing"], category_ids=[6], hourly_rate_credits=7)
        assert changed.agent.hourly_rate_credits == 7
        changed = await worker.update_me(hourly_rate_credits=CLEARED)
        assert (changed.agent.hourly_rate_credits, changed.agent.capabilities) == (None, ("weighing",))


async def test_webhooks(market: Market) -> None:
    _, key = await (await market.person()).agent()
    async with connect_hive(market.server.url, key=key) as hive:
        made = await hive.add_webhook("https://hooks.example.org/a", ["claim.accepted"])
        assert made.secret.startswith("whsec_")
        assert made.secret not in repr(made)
        assert (await hive.rotate_webhook_secret(made.webhook.id)).secret != made.secret
        assert [hook.url for hook in await hive.webhooks()] == ["https://hooks.example.org/a"]
        await hive.delete_webhook(made.webhook.id)
        assert list(await hive.webhooks()) == []


async def test_what_does_not_fit_is_refused_before_it_is_sent(market: Market) -> None:
    _, key = await (await market.person()).agent()
    async with connect_hive(market.server.url, key=key) as hive:
        for asked in (
            hive.deliver(1, ""),
            hive.deliver(1, "x" * 50_001),
            hive.claim(1, 0),
            hive.post_task("x", "y", 10),
        ):
            with pytest.raises(Refused) as caught:
                await asked
            assert caught.value.code == Code.VALIDATION_ERROR
        with pytest.raises(Refused) as caught:
            _ = [task async for task in hive.search("x")]
        assert caught.value.code == Code.INVALID_PARAMETER
        with pytest.raises(Refused):
            await hive.claim("one", "two")  # type: ignore[arg-type]


# lost connections


async def test_an_event_comes_again_until_its_receiver_is_done_with_it(market: Market) -> None:
    ann, bob = await market.person(), await market.person()
    _, key = await bob.agent(category_ids=[2])
    task = await ann.post(category_id=2)
    for _ in range(2):
        async with connect_hive(market.server.url, key=key) as hive:
            assert (await heard(hive, wire.TaskNewMatch)).task_id == task  # and is not come back for another
    async with connect_hive(market.server.url, key=key) as hive, asyncio.timeout(15), aclosing(hive.events()) as events:
        assert (await anext(events)).task_id == task
        second = await ann.post(category_id=2)
        assert (await anext(events)).task_id == second
    async with connect_hive(market.server.url, key=key) as hive:
        assert (await heard(hive, wire.TaskNewMatch)).task_id == second, "the first is done with"


@pytest.fixture
async def relay(shared: Server) -> AsyncIterator[Relay]:
    """The network between the shared server and an agent."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    network = Relay(port, shared.port)
    listener = await asyncio.start_server(network.relay, "127.0.0.1", port)
    yield network
    listener.close()
    network.cut()
    await asyncio.sleep(0.02)


async def test_a_request_whose_reply_is_lost_happens_once(market: Market, relay: Relay) -> None:
    ann = await market.person()
    _, key = await ann.agent()
    async with connect_hive(relay.url, key=key) as hive:
        await hive.me()
        relay.deaf = True  # the request arrives, its reply does not
        posting = asyncio.create_task(hive.post_task(TITLE, "Only once, although it is sent twice.", 10))
        async with connect_hive(market.server.url, key=key) as beside:
            async with asyncio.timeout(15):
                while not [task async for task in beside.my_tasks(role="poster")]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            relay.cut()
            posted = await posting
            assert [task.id async for task in beside.my_tasks(role="poster")] == [posted.id]


async def test_a_restart_of_the_server_goes_unnoticed(start_server: StartServer) -> None:
    server = await start_server(hive_requests_max=100_000)
    changes: list[ConnectionEvent] = []
    async with market_of(server) as market:
        ann = await market.person()
        _, key = await ann.agent(category_ids=[1])
        async with connect_hive(server.url, key=key, on_connection=changes.append) as hive:
            first = await ann.post(category_id=1)
            assert (await heard(hive, wire.TaskNewMatch)).task_id == first
            await server.kill()
            asking = asyncio.create_task(hive.me())
            await server.start()
            assert (await asking).status == "active"
            await market.back(ann)
            second = await ann.post(category_id=1)
            assert (await heard(hive, wire.TaskNewMatch)).task_id == second, "the first is known already"
    assert [event.connected for event in changes] == [True, False, True]


async def test_the_limit_is_kept_and_never_seen(start_server: StartServer) -> None:
    server = await start_server(hive_requests_max=5, hive_requests_window_ms=1000)
    async with market_of(server) as market:
        _, key = await (await market.person()).agent()
        async with connect_hive(server.url, key=key) as hive:
            asked = await asyncio.gather(*(hive.me() for _ in range(11)))
            assert len({each.id for each in asked}) == 1


# keys


async def test_a_key_that_ends_ends_the_connection(market: Market) -> None:
    ann = await market.person()
    agent, key = await ann.agent()
    async with connect_hive(market.server.url, key=key) as hive:
        following = asyncio.create_task(heard(hive, wire.ClaimWon))
        await hive.me()
        await ann.revoke(agent)
        for asked in (following, hive.me()):
            with pytest.raises(KeyRefused) as caught:
                await asked
            assert caught.value.code == Code.UNAUTHORIZED
            assert key not in str(caught.value)
    with pytest.raises(KeyRefused):
        async with connect_hive(market.server.url, key=key):
            pass


async def test_a_paused_agent_is_told_or_waits(market: Market) -> None:
    ann = await market.person()
    agent, key = await ann.agent()
    url = market.server.url
    changes: list[ConnectionEvent] = []
    waiting = connect_hive(url, key=key, waits_while_paused=True, paused_seconds=0.05, on_connection=changes.append)
    async with waiting as patient, connect_hive(url, key=key) as hasty:
        await ann.switch(agent, "paused")
        with pytest.raises(KeyRefused) as caught:
            await heard(hasty, wire.ClaimWon)
        assert caught.value.code == Code.FORBIDDEN
        assert f"Agent {agent} is paused" in caught.value.message
        asking = asyncio.create_task(patient.me())
        async with asyncio.timeout(15):
            while not any("is paused" in event.detail for event in changes):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not asking.done()
        await ann.switch(agent, "active")
        assert (await asking).id == agent


async def test_a_paused_agent_that_comes_waits_too(market: Market) -> None:
    ann = await market.person()
    agent, key = await ann.agent()
    await ann.switch(agent, "paused")
    told = asyncio.Event()

    async def come() -> int:
        async with connect_hive(
            market.server.url, key=key, waits_while_paused=True, paused_seconds=0.05, connect_seconds_max=5.0,
            on_connection=lambda _: told.set(),
        ) as hive:  # fmt: skip
            return (await hive.me()).id

    coming = asyncio.create_task(come())
    async with asyncio.timeout(15):
        await told.wait()
    assert not coming.done()
    await ann.switch(agent, "active")
    assert await coming == agent


async def test_an_unknown_key_and_other_servers(shared: Server) -> None:
    with pytest.raises(KeyRefused) as caught:
        async with connect_hive(shared.url, key=NO_KEY):
            pass
    assert caught.value.code == Code.UNAUTHORIZED
    with pytest.raises(ServerUnreachable):
        async with connect_hive("ws://127.0.0.1:9", key=NO_KEY, connect_seconds_max=0.2):
            pass
    with pytest.raises(ServerNotTrusted):  # the HTTP port has no such path for sockets
        async with connect_hive(f"ws://127.0.0.1:{shared.http_port}", key=NO_KEY):
            pass


@pytest.mark.parametrize(
    "server", ["ws://192.0.2.1:8765", "ws://hive.example.org", "192.0.2.1:8765", "ws://[2001:db8::1]"]
)
async def test_a_key_never_leaves_this_machine_in_the_open(server: str) -> None:
    with pytest.raises(ServerNotTrusted, match="wss://"):
        async with connect_hive(server, key=NO_KEY):
            pass


async def test_a_key_follows_no_redirect() -> None:
    asked: list[str] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        port = writer.get_extra_info("sockname")[1]
        writer.write(f"HTTP/1.1 307 Elsewhere\r\nLocation: ws://localhost:{port}/hive\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(redirect, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(ServerNotTrusted, match="307"):
            async with connect_hive(f"ws://127.0.0.1:{port}", key=NO_KEY):
                pass
    assert len(asked) == 1


async def test_no_log_holds_the_key(market: Market, caplog: pytest.LogCaptureFixture) -> None:
    _, key = await (await market.person()).agent()
    with caplog.at_level(logging.INFO):
        async with connect_hive(market.server.url, key=key) as hive:
            await hive.me()
    assert key not in caplog.text
    assert key not in market.server.log_path.read_text()


def test_a_key_file_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = key_file(tmp_path, NO_KEY)
    assert read_key_file(path).reveal() == NO_KEY
    assert NO_KEY not in repr(read_key_file(path))
    for mode in (0o640, 0o604, 0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(FileError, match="chmod 600"):
            read_key_file(path)
    path.chmod(0o600)
    for text in ("", "th_agent_" + "0" * 63, "th_agent_" + "0" * 65, "TH_AGENT_" + "0" * 64, "th_agent_" + "A" * 64):
        path.write_text(text)
        with pytest.raises(NoKey) as caught:
            read_key_file(path)
        assert text not in str(caught.value) or not text
    with pytest.raises(FileError):
        read_key_file(tmp_path / "nothing")
    monkeypatch.delenv("VAULT_HIVE_KEY", raising=False)
    with pytest.raises(NoKey, match="--key-file"):
        find_key(None)
    monkeypatch.setenv("VAULT_HIVE_KEY", NO_KEY + "\n")
    assert find_key(None).reveal() == NO_KEY
    monkeypatch.setenv("VAULT_HIVE_KEY", "secret")
    with pytest.raises(NoKey) as caught:
        find_key(None)
    assert "secret" not in str(caught.value)


async def test_over_tls_a_server_that_cannot_prove_its_name_is_sent_nothing(
    start_server: StartServer, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start_server(tls_certificate=certificate[0], tls_key=certificate[1])
    assert server.url.startswith("wss://")
    with pytest.raises(ServerNotTrusted, match="certificate"):
        async with connect_hive(server.url, key=NO_KEY):
            pass
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with pytest.raises(KeyRefused) as caught:  # now it is asked, and does not know the key
        async with connect_hive(server.url, key=NO_KEY):
            pass
    assert caught.value.code == Code.UNAUTHORIZED
