"""A webhook's deliveries, one after the other: signed, tried again, given up; over real sockets, on both databases."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from protocol import hive as wire
from protocol import hive_json
from protocol import hive_replies as reply
from protocol.errors import Code
from protocol.hive_json import to_json
from tests.house.tree import ROOT
from tests.receivers import Receiver, in_turn, status
from tests.vault_server.systems.hive.conftest import MakeHive
from tests.vault_server.systems.hive.harness import CODING, Hive, number_of, user
from tests.vault_server.systems.hive.postman import ALL, Postman, hooked, row, wait_ms, waiting
from vault_server.core.operation import SERVER, Caller, JobDue, Query
from vault_server.systems.hive import rules
from vault_server.systems.hive.delivery import body_of
from vault_server.systems.hive.gauges import deliveries_waiting, webhooks_by_state
from vault_server.systems.hive.orders import EndDelivery
from vault_server.systems.hive.webhooks import OVERLAP_MS

RETRY_MS = (5000, 30_000, 120_000)
LONGEST_MS = 2 * 5000 + 1000
"""After so long a claim that nobody has ended is void."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture
async def open_hive(make_hive: MakeHive) -> Hive:
    """A hive that may send to this machine; its clock shows the real time, which receivers look at."""
    hive = await make_hive(hive_webhook_allow_private=True)
    hive.now_ms = int(time.time() * 1000)
    return hive


@pytest.fixture
async def ann(open_hive: Hive) -> Caller:
    return await open_hive.person("ann")


@pytest.fixture
async def robot(open_hive: Hive, ann: Caller) -> Caller:
    return await open_hive.agent(await open_hive.person("bob"), category_ids=(CODING,))


async def test_what_a_receiver_gets_is_what_a_socket_is_pushed_and_verifies(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    webhook, secret = await hooked(open_hive, robot, receiver)
    task, work = await open_hive.delivered(ann, robot, category_id=CODING)
    await open_hive.accept(ann, task, work)
    done = await Postman(open_hive).work()
    assert [ended.failure for ended in done] == [None, None, None]
    opened = [received.opened(secret) for received in receiver.received]
    events = await open_hive.waiting(robot)
    assert [each["type"] for each in opened] == ["task.new_match", "claim.accepted", "deliverable.accepted"]
    assert [(each["type"], each["data"]) for each in opened] == [
        (event.SHAPE.wire_type, to_json(event)) for _, event in events
    ]
    assert all(each["timestamp"] == each["data"]["timestamp"] and each["timestamp"].endswith("Z") for each in opened)
    assert len({received.id for received in receiver.received}) == 3
    assert {received.headers["content-type"] for received in receiver.received} == {"application/json"}
    assert await waiting(open_hive, webhook) == 0
    assert len(open_hive.logged("webhook.sent")) == 3
    with pytest.raises(WebhookVerificationError):
        receiver.received[0].opened("whsec_" + "A" * 43 + "=")


def test_the_documentations_example_is_signed_as_it_says() -> None:
    text = (ROOT / "docs" / "hive.md").read_text()
    [(message_id, seconds, signature, body)] = re.findall(
        r"webhook-id: (.*)\nwebhook-timestamp: (.*)\nwebhook-signature: (.*)\n\n(.*)\n", text
    )
    [secret] = re.findall(r"The one above is by `(.*)`", text)
    assert Webhook(secret).sign(message_id, datetime.fromtimestamp(int(seconds), UTC), body) == signature
    event = hive_json.from_json(reply.ClaimLost, json.loads(body)["data"])
    assert body_of("claim.rejected", event).decode() == body


async def test_two_webhooks_have_ids_of_their_own_for_one_event(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    for _ in range(2):
        await hooked(open_hive, robot, receiver, ("claim.accepted",))
    await open_hive.claimed(ann, robot)
    await Postman(open_hive).work()
    assert len({received.id for received in receiver.received}) == 2


async def test_an_old_secret_signs_for_a_day_beside_the_new_one(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    webhook, old = await hooked(open_hive, robot, receiver)
    told: reply.WebhookSecret = await open_hive.give(robot, wire.RotateWebhookSecret(webhook_id=webhook))
    rotated_ms = open_hive.now_ms
    postman = Postman(open_hive)
    for passed_ms, signatures in ((0, 2), (OVERLAP_MS - 1, 2), (OVERLAP_MS, 1)):
        open_hive.now_ms = rotated_ms + passed_ms
        await open_hive.claimed(ann, robot)
        await postman.work()
        received = receiver.received[-1]
        assert len(received.headers["webhook-signature"].split(" ")) == signatures
    first, _, last = receiver.received
    assert first.opened(old) == first.opened(told.secret)
    assert len(set(first.headers["webhook-signature"].split(" "))) == 2
    assert last.headers["webhook-timestamp"] == str((rotated_ms + OVERLAP_MS) // 1000)


@pytest.mark.parametrize("code", [199 + 1, 299])
async def test_any_2xx_is_a_success(open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver, code: int) -> None:
    receiver.answer = status(500, code)
    webhook, _ = await hooked(open_hive, robot, receiver)
    await open_hive.claimed(ann, robot)
    postman = Postman(open_hive)
    await postman.work()
    assert (await row(open_hive, webhook))["failure_count"] == 1
    await open_hive.wait(6000)
    await postman.work()
    state = await row(open_hive, webhook)
    assert (state["failure_count"], state["attempts"], state["delivering"]) == (0, 0, None)
    assert state["last_triggered_at"] == open_hive.now_ms
    assert await waiting(open_hive, webhook) == 0


@pytest.mark.parametrize("code", [300, 302, 404, 410, 500])
async def test_anything_else_is_a_failure(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver, code: int
) -> None:
    receiver.answer = status(code)
    webhook, _ = await hooked(open_hive, robot, receiver)
    await open_hive.claimed(ann, robot)
    await Postman(open_hive).work()
    assert (await row(open_hive, webhook))["failure_count"] == 1
    [line] = open_hive.logged("webhook.failed")
    assert (line["reason"], line["attempt"], line["failures"]) == (f"status {code}", 1, 1)
    assert line["host"] == f"127.0.0.1:{receiver.port}"
    assert "hush" not in repr(open_hive.effects)


async def test_a_delivery_is_tried_three_times_more_with_its_id_and_then_the_next_one_is(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    receiver.answer = in_turn(*[status(500)] * 4, status(200))
    webhook, _ = await hooked(open_hive, robot, receiver)
    await open_hive.claimed(ann, robot)
    await open_hive.claimed(ann, robot)
    postman = Postman(open_hive)
    await postman.work()
    for attempt, retry_ms in enumerate(RETRY_MS, 1):
        left_ms = await wait_ms(open_hive)
        assert 0.8 * retry_ms <= left_ms <= 1.2 * retry_ms
        await open_hive.wait(left_ms - 1)
        assert await postman.work() == [], "not yet"
        assert len(receiver.received) == attempt
        await open_hive.wait(1)
        ended = await postman.work()
        assert ended[0].delivery.attempt == attempt + 1
    first, *_, last = receiver.received
    assert [received.id == first.id for received in receiver.received] == [True] * 4 + [False]
    assert [received.body == first.body for received in receiver.received] == [True] * 4 + [False]
    assert last.headers["webhook-signature"] != first.headers["webhook-signature"]
    assert [line["reason"] for line in open_hive.logged("webhook.dropped")] == ["it failed as often as it is tried"]
    assert (await row(open_hive, webhook))["failure_count"] == 0
    assert await waiting(open_hive, webhook) == 0


def test_waits_differ_by_a_fifth_at_most() -> None:
    assert [rules.jittered(30_000, value) for value in (b"\x00\x00", b"\xff\xff")] == [24_000, 36_000]
    assert rules.jittered(0, b"\x80\x00") == 0


async def test_without_waits_there_is_one_attempt(make_hive: MakeHive, receiver: Receiver) -> None:
    hive = await make_hive(hive_webhook_allow_private=True, hive_webhook_retry_ms=())
    receiver.answer = status(500)
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    webhook, _ = await hooked(hive, robot, receiver)
    await hive.claimed(ann, robot)
    await Postman(hive).work()
    assert (len(receiver.received), await waiting(hive, webhook)) == (1, 0)


async def test_the_tenth_failure_in_a_row_ends_a_webhook_and_the_ninth_does_not(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    receiver.answer = status(500)
    webhook, _ = await hooked(open_hive, robot, receiver)
    for _ in range(5):
        await open_hive.claimed(ann, robot)
    postman = Postman(open_hive)
    await postman.work()
    while len(receiver.received) < 9:
        await open_hive.wait(150_000)
        await postman.work()
    state = await row(open_hive, webhook)
    assert (state["is_active"], state["failure_count"], len(receiver.received)) == (1, 9, 9)
    assert await waiting(open_hive, webhook) == 3  # two were given up after four attempts each
    await open_hive.wait(150_000)
    await postman.work()
    state = await row(open_hive, webhook)
    assert (state["is_active"], state["failure_count"], len(receiver.received)) == (0, 10, 10)
    assert await waiting(open_hive, webhook) == 0
    assert [line["webhook"] for line in open_hive.logged("webhook.deactivated")] == [webhook]
    await open_hive.claimed(ann, robot)
    await open_hive.wait(1_000_000)
    assert await postman.work() == []
    assert len(receiver.received) == 10
    [shown] = (await open_hive.give(robot, wire.ListWebhooks())).webhooks
    assert (shown.is_active, shown.failure_count) == (False, 10)
    assert shown.last_triggered_at == state["last_triggered_at"]


async def test_nine_failures_and_a_success_begin_anew(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    receiver.answer = in_turn(*[status(500)] * 9, status(200), status(500))
    webhook, _ = await hooked(open_hive, robot, receiver)
    for _ in range(4):
        await open_hive.claimed(ann, robot)
    postman = Postman(open_hive)
    await postman.work()
    while len(receiver.received) < 10:
        await open_hive.wait(150_000)
        await postman.work()
    state = await row(open_hive, webhook)
    assert (state["is_active"], state["failure_count"]) == (1, 1)  # of the delivery behind


async def test_a_webhook_that_was_given_up_is_registered_again(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    set_url = wire.UpdateMe(webhook_url=receiver.url)
    first = (await open_hive.give(robot, set_url)).webhook_secret
    assert (await open_hive.give(robot, set_url)).webhook_secret is None, "it is what it was"
    off = Query("off", "UPDATE webhooks SET is_active = 0, failure_count = 10")
    await open_hive.database.transact([lambda tx: tx.run(off)])
    again = (await open_hive.give(robot, set_url)).webhook_secret
    assert again not in (None, first)
    [shown] = (await open_hive.give(robot, wire.ListWebhooks())).webhooks
    assert (shown.is_active, shown.failure_count, shown.is_profile) == (True, 0, True)
    await open_hive.claimed(ann, robot)
    await Postman(open_hive).work()
    assert receiver.received[0].opened(again)["type"] == "claim.accepted"


async def test_deliveries_keep_their_order_while_one_is_tried_again(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    receiver.answer = in_turn(status(500), status(200))
    await hooked(open_hive, robot, receiver)
    postman = Postman(open_hive)
    tasks = []
    for _ in range(3):
        tasks.append(await open_hive.claimed(ann, robot))
        await postman.work()
    assert len(receiver.received) == 1, "the others wait behind it"
    await open_hive.wait(6000)
    await postman.work()
    assert [b'"task_id":%d' % task in each.body for task, each in zip(tasks, receiver.received[1:], strict=True)] == [
        True
    ] * 3


async def test_nobody_else_sends_while_somebody_is_at_it(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    webhook, _ = await hooked(open_hive, robot, receiver)
    await open_hive.claimed(ann, robot)
    here, there = Postman(open_hive), Postman(open_hive)
    [due] = here.kicked()
    read_too = await open_hive.database.read(lambda reader: there.jobs[due.job].load(reader, due.key))
    delivery = await here.begin(due)
    assert delivery is not None
    assert await there.begin(due) is None, "it is claimed"
    claim = there.jobs[due.job].begin
    assert claim is not None
    assert await open_hive.give(SERVER, claim(read_too)) is None, "it was claimed after it was read"
    assert await there.pending() == {"send_webhook": [], "send_slow_webhook": []}
    await open_hive.wait(LONGEST_MS - 1)
    assert await there.work() == []
    await here.end(await here.send(delivery))
    assert (len(receiver.received), await waiting(open_hive, webhook)) == (1, 0)


async def test_who_is_killed_before_it_has_sent_leaves_it_to_others(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    webhook, _ = await hooked(open_hive, robot, receiver)
    await open_hive.claimed(ann, robot)
    postman = Postman(open_hive)
    postman.kicked()  # forgotten with its process
    assert await postman.pending() == {"send_webhook": [str(webhook)], "send_slow_webhook": []}
    begun = await postman.begin(JobDue("send_webhook", str(webhook)))
    assert begun is not None
    await open_hive.wait(LONGEST_MS)  # killed again
    [ended] = await postman.work()
    assert (ended.delivery.message_id, ended.delivery.attempt) == (begun.message_id, 1)
    assert await waiting(open_hive, webhook) == 0


async def test_what_was_sent_and_not_concluded_comes_again_under_its_id(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    webhook, _ = await hooked(open_hive, robot, receiver)
    await open_hive.claimed(ann, robot)
    postman = Postman(open_hive)
    [due] = postman.kicked()
    begun = await postman.begin(due)
    assert begun is not None
    late = await postman.send(begun)
    await open_hive.wait(LONGEST_MS)
    await postman.work()
    one, other = receiver.received
    assert (one.id, one.body) == (other.id, other.body)
    await postman.end(late)  # the one that was thought to be dead
    state = await row(open_hive, webhook)
    assert (state["failure_count"], await waiting(open_hive, webhook)) == (0, 0)
    assert len(open_hive.logged("webhook.sent")) == 1


async def test_an_attempt_counts_once_however_late_its_end_comes(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    receiver.answer = status(500)
    webhook, _ = await hooked(open_hive, robot, receiver)
    await open_hive.claimed(ann, robot)
    postman = Postman(open_hive)
    [due] = postman.kicked()
    begun = await postman.begin(due)
    assert begun is not None
    late = await postman.send(begun)
    await open_hive.wait(LONGEST_MS)
    await postman.work()
    await postman.end(late)
    assert (await row(open_hive, webhook))["failure_count"] == 1
    await postman.end(EndDelivery(begun, 10))  # but a success is one, whoever has counted a failure meanwhile
    state = await row(open_hive, webhook)
    assert (state["failure_count"], await waiting(open_hive, webhook)) == (0, 0)


async def test_deleting_a_webhook_drops_what_waits_and_what_is_under_way(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    webhook, _ = await hooked(open_hive, robot, receiver)
    for _ in range(2):
        await open_hive.claimed(ann, robot)
    postman = Postman(open_hive)
    [due] = postman.kicked()
    begun = await postman.begin(due)
    assert begun is not None
    await open_hive.give(robot, wire.DeleteWebhook(webhook_id=webhook))
    await postman.end(await postman.send(begun))
    await open_hive.wait(1_000_000)
    assert await postman.work() == []
    assert (len(receiver.received), await waiting(open_hive, webhook)) == (1, 0)
    assert await open_hive.rows("SELECT * FROM deadlines WHERE name = 'send_webhook'") == []


async def test_events_of_a_paused_agent_wait_until_it_is_active(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    webhook, _ = await hooked(open_hive, robot, receiver)
    task = await open_hive.post(ann)
    claim = await open_hive.claim(robot, task)
    bob = user(3)
    await open_hive.give(bob, wire.SetAgentStatus(agent_id=number_of(robot), status="paused"))
    await open_hive.give(ann, wire.RejectClaim(task_id=task, claim_id=claim))
    postman = Postman(open_hive)
    assert await postman.work() == []
    assert await postman.pending() == {"send_webhook": [], "send_slow_webhook": []}
    await open_hive.give(bob, wire.SetAgentStatus(agent_id=number_of(robot), status="active"))
    assert await postman.pending() == {"send_webhook": [str(webhook)], "send_slow_webhook": []}
    open_hive.effects.append(JobDue("send_webhook", str(webhook)))  # as dispatch/jobs.py does with what it finds
    [ended] = await postman.work()
    assert ended.failure is None


async def test_an_event_without_its_object_is_dropped_and_the_next_one_sent(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    webhook, _ = await hooked(open_hive, robot, receiver, ("deliverable.revision_requested", "claim.accepted"))
    task, work = await open_hive.delivered(ann, robot)
    postman = Postman(open_hive)
    await postman.work()
    await open_hive.give(ann, wire.RequestRevision(task_id=task, deliverable_id=work, revision_notes="More."))
    await open_hive.claimed(ann, robot)
    gone = Query("gone", "UPDATE outbox SET detail = :detail WHERE kind = 'deliverable.revision_requested'")
    detail = '{"deliverable_id":99,"revision_number":1,"timestamp":1}'
    await open_hive.database.transact([lambda tx: tx.run(gone, detail=detail)])
    await postman.work()
    assert len(receiver.received) == 2
    assert [line["reason"] for line in open_hive.logged("webhook.dropped")] == ["it has no object any more"]
    assert await waiting(open_hive, webhook) == 0


async def test_who_failed_or_took_long_is_sent_to_by_other_threads(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    receiver.answer = in_turn(status(500), status(200))
    webhook, _ = await hooked(open_hive, robot, receiver)
    postman = Postman(open_hive)
    names = []
    for took_ms in (None, None, 1001, 1000, 0):
        await open_hive.claimed(ann, robot)
        [due] = postman.kicked()
        names.append(due.job)
        begun = await postman.begin(due)
        assert begun is not None
        ended = await postman.send(begun)
        await postman.end(ended if took_ms is None else EndDelivery(begun, took_ms))
        if ended.failure is not None:
            await open_hive.wait(6000)
            await postman.work()
    swift, slow = "send_webhook", "send_slow_webhook"
    assert names == [swift, swift, swift, slow, swift]
    assert (await row(open_hive, webhook))["is_slow"] == 0


async def test_an_address_of_this_machine_is_refused_and_counts_as_a_failure(hive: Hive, receiver: Receiver) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    url = f"https://localhost:{receiver.port}/hook?token=hush"
    added: reply.WebhookSecret = await hive.give(robot, wire.AddWebhook(url=url, events=ALL))
    await hive.claimed(ann, robot)
    await Postman(hive).work()
    [line] = hive.logged("webhook.failed")
    assert line["reason"].startswith("refused: ")
    [shown] = (await hive.give(robot, wire.ListWebhooks())).webhooks
    assert (shown.id, shown.failure_count, shown.last_triggered_at) == (added.webhook.id, 1, hive.now_ms)
    assert receiver.connections == 0
    assert "127.0.0.1" not in repr(to_json(reply.WebhookList(webhooks=(shown,))))


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "[::1]", "169.254.169.254", "[::ffff:10.0.0.1]"])
async def test_an_address_that_is_written_down_is_refused_at_once(hive: Hive, host: str) -> None:
    robot = await hive.agent(await hive.person("bob"))
    add = wire.AddWebhook(url=f"https://{host}/hook", events=ALL)
    assert await hive.refused(robot, add) == Code.VALIDATION_ERROR
    assert await hive.refused(robot, wire.UpdateMe(webhook_url=f"https://{host}/hook")) == Code.VALIDATION_ERROR
    for good in ("https://1.1.1.1/hook", "https://[2606:4700:4700::1111]:8443/hook", "https://example.org:65535/"):
        await hive.give(robot, wire.AddWebhook(url=good, events=ALL))


async def test_gauges_count_what_waits_and_how_webhooks_stand(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    receiver.answer = status(500)
    await hooked(open_hive, robot, receiver, ("claim.accepted",))
    await hooked(open_hive, robot, receiver, ("review.created",))
    for _ in range(2):
        await open_hive.claimed(ann, robot)
    await Postman(open_hive).work()
    by_state = await open_hive.database.read(lambda reader: webhooks_by_state(reader, 0))
    assert by_state == {"active": 1, "failing": 1, "inactive": 0}
    assert await open_hive.database.read(lambda reader: deliveries_waiting(reader, 0)) == {"": 2}


async def test_everything_matching_is_sent_to_each_webhook(
    open_hive: Hive, ann: Caller, robot: Caller, receiver: Receiver
) -> None:
    other = await open_hive.agent(ann, "other", category_ids=(CODING,))
    for agent in (robot, other):
        await hooked(open_hive, agent, receiver, ("task.new_match",))
    await open_hive.post(ann, category_id=CODING)
    done = await Postman(open_hive).work()
    assert sorted(ended.delivery.webhook_id for ended in done) == [1, 2]
