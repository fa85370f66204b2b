"""The ledger as it is asked for, deposits, and idempotency keys."""

from __future__ import annotations

import pytest

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.envelope import Message
from protocol.errors import Code
from tests.vault_server.systems.hive.conftest import MakeHive
from tests.vault_server.systems.hive.harness import Hive, number_of
from vault_server.systems.hive import repeating

DAY_MS = 24 * 3600 * 1000


async def test_the_ledger_comes_page_by_page_the_newest_first(hive: Hive) -> None:
    ann = await hive.person("ann")
    robots = [await hive.agent(ann, f"robot {number}") for number in range(4)]
    first: reply.CreditPage = await hive.give(ann, wire.AskCredits(limit=3))
    assert first.credit_balance == 900
    assert [line.balance_after for line in first.recent_transactions] == [900, 800, 700]
    assert first.has_more
    await hive.agent(ann, "one more")
    rest: reply.CreditPage = await hive.give(ann, wire.AskCredits(cursor=first.cursor))
    assert [line.balance_after for line in rest.recent_transactions] == [600, 500]
    assert (rest.has_more, rest.cursor) == (False, None)
    of_agent: reply.CreditPage = await hive.give(robots[0], wire.AskCredits(limit=1))
    assert of_agent.credit_balance == 1000  # its operator's


async def test_a_payment_says_what_for_and_from_whom(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    task = await hive.completed(ann, await hive.agent(bob))
    page: reply.CreditPage = await hive.give(bob, wire.AskCredits())
    line = page.recent_transactions[0]
    assert (line.type, line.amount, line.task_id, line.counterparty_id) == ("payment", 180, task, number_of(ann))
    assert line.description == f"Task {task}: Sort these numbers"


async def test_an_admin_deposits(hive: Hive) -> None:
    ann, judge = await hive.person("ann"), await hive.admin()
    order = wire.Deposit(user_id=number_of(ann), amount=25, description="A present")
    made: reply.Deposited = await hive.give(judge, order)
    assert (made.transaction.balance_after, made.transaction.counterparty_id) == (525, number_of(judge))
    assert await hive.ledger(ann) == [("bonus", 500, 500), ("deposit", 25, 525)]
    assert await hive.refused(judge, wire.Deposit(user_id=99, amount=1)) == Code.USER_NOT_FOUND


async def test_a_poster_without_credits_posts_all_the_same(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    await hive.completed(ann, await hive.agent(bob), budget_credits=1_000_000_000)
    assert await hive.balance(ann) == 500
    assert await hive.balance(bob) == 600 + 900_000_000


def posting(key: str | None = "k", **fields: object) -> wire.PostTask:
    values = {"title": "Sort numbers", "description": "x" * 20, "budget_credits": 10, **fields}
    return wire.PostTask(**values, idempotency_key=key)  # type: ignore[arg-type]


async def test_the_same_request_again_is_answered_the_same(hive: Hive) -> None:
    ann = await hive.person("ann")
    first = await hive.give(ann, posting())
    hive.now_ms += 1000
    assert await hive.give(ann, posting()) == first
    assert len(await hive.rows("SELECT id FROM hive_tasks")) == 1
    seen = await hive.database.read(lambda reader: repeating.recall(hive.parts, reader, ann, posting(), hive.now_ms))
    assert seen == first
    new = posting("other")
    assert await hive.database.read(lambda reader: repeating.recall(hive.parts, reader, ann, new, hive.now_ms)) is None


@pytest.mark.parametrize(
    "other", [posting(budget_credits=11), wire.StartTask(task_id=1, idempotency_key="k")], ids=["field", "operation"]
)
async def test_a_key_stands_for_one_request(hive: Hive, other: Message) -> None:
    ann = await hive.person("ann")
    await hive.give(ann, posting())
    assert await hive.refused(ann, other) == Code.IDEMPOTENCY_KEY_MISMATCH


async def test_a_key_is_its_owners_alone(hive: Hive) -> None:
    ann, eve = await hive.person("ann"), await hive.person("eve")
    first: reply.TaskShown = await hive.give(ann, posting())
    second: reply.TaskShown = await hive.give(eve, posting())
    assert first.task.id != second.task.id
    third: reply.TaskShown = await hive.give(await hive.agent(ann), posting())
    assert third.task.id not in (first.task.id, second.task.id)


async def test_what_was_refused_can_be_tried_again(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.claimed(ann, robot)
    order = wire.AcceptDeliverable(task_id=task, deliverable_id=1, idempotency_key="k")
    assert await hive.refused(ann, order) == Code.DELIVERABLE_NOT_FOUND
    await hive.deliver(robot, task)
    first = await hive.give(ann, order)
    assert await hive.give(ann, order) == first
    assert (await hive.ledger(await hive.person("eve"))) == [("bonus", 500, 500)]


async def test_a_key_is_forgotten_after_a_day(hive: Hive) -> None:
    ann = await hive.person("ann")
    await hive.give(ann, posting())
    hive.now_ms += DAY_MS - 1
    await hive.give(ann, posting())
    assert await hive.tidy() == 0
    hive.now_ms += 1
    await hive.give(ann, posting(budget_credits=11))
    assert len(await hive.rows("SELECT id FROM hive_tasks")) == 2
    hive.now_ms += DAY_MS
    assert await hive.tidy() == 1


async def test_a_kept_reply_is_sealed(hive: Hive) -> None:
    ann = await hive.person("ann")
    order = wire.RegisterAgent(name="robot", description="It does things.", idempotency_key="k")
    made: reply.AgentKey = await hive.give(ann, order)
    assert (await hive.give(ann, order)).api_key == made.api_key
    [row] = await hive.rows("SELECT reply FROM hive_replies")
    assert made.api_key.encode() not in bytes(row["reply"])
    assert b"robot" not in bytes(row["reply"])
    assert await hive.balance(ann) == 600


@pytest.mark.parametrize("limit", [1, 5])
async def test_as_many_webhooks_as_are_allowed(make_hive: MakeHive, limit: int) -> None:
    hive = await make_hive(hive_webhooks_max=limit)
    robot = await hive.agent(await hive.person("bob"), webhook_url="https://example.org/profile")
    for number in range(limit):
        await hive.give(robot, wire.AddWebhook(url=f"https://example.org/{number}", events=("claim.accepted",)))
    order = wire.AddWebhook(url="https://example.org/more", events=("claim.accepted",))
    assert await hive.refused(robot, order) == Code.MAX_WEBHOOKS
    await hive.give(robot, wire.DeleteWebhook(webhook_id=2))
    await hive.give(robot, order)


async def test_a_webhooks_secret_is_told_once_and_sealed(hive: Hive) -> None:
    robot = await hive.agent(await hive.person("bob"))
    made: reply.WebhookSecret = await hive.give(
        robot, wire.AddWebhook(url="https://example.org/1", events=("claim.accepted",))
    )
    assert made.secret.startswith("whsec_")
    assert made.webhook.secret_prefix == made.secret[:8]
    rotated: reply.WebhookSecret = await hive.give(robot, wire.RotateWebhookSecret(webhook_id=1))
    assert rotated.secret != made.secret
    assert made.secret not in repr(made)
    [row] = await hive.rows("SELECT secret, previous_secret, previous_until FROM webhooks")
    place = {"table": "webhooks", "row": "1", "owner": "agent:1"}
    opened = hive.parts.cipher.open(bytes(row["secret"]), column="secret", **place)
    previous = hive.parts.cipher.open(bytes(row["previous_secret"]), column="previous_secret", **place)
    assert (opened.decode(), previous.decode()) == (rotated.secret, made.secret)
    assert row["previous_until"] == hive.now_ms + DAY_MS
    listed: reply.WebhookList = await hive.give(robot, wire.ListWebhooks())
    assert made.secret not in repr(listed)
    assert listed.webhooks == (rotated.webhook,)


async def test_a_webhook_is_its_agents_alone(hive: Hive) -> None:
    bob = await hive.person("bob")
    robot, other = await hive.agent(bob), await hive.agent(bob, "other")
    await hive.give(robot, wire.AddWebhook(url="https://example.org/1", events=("claim.accepted",)))
    for order in (wire.DeleteWebhook(webhook_id=1), wire.RotateWebhookSecret(webhook_id=1)):
        assert await hive.refused(other, order) == Code.WEBHOOK_NOT_FOUND
        assert await hive.refused(bob, order) == Code.FORBIDDEN


async def test_the_profiles_url_is_a_webhook_for_everything(hive: Hive) -> None:
    robot = await hive.agent(await hive.person("bob"))
    changed: reply.ProfileChanged = await hive.give(robot, wire.UpdateMe(webhook_url="https://example.org/all"))
    assert changed.webhook_secret is not None
    assert changed.webhook_secret not in repr(changed)
    listed: reply.WebhookList = await hive.give(robot, wire.ListWebhooks())
    [webhook] = listed.webhooks
    assert (webhook.url, webhook.is_profile, len(webhook.events)) == ("https://example.org/all", True, 12)
    same: reply.ProfileChanged = await hive.give(robot, wire.UpdateMe(webhook_url="https://example.org/all"))
    assert same.webhook_secret is None
    await hive.give(robot, wire.DeleteWebhook(webhook_id=webhook.id))
    me: reply.OwnAgentShown = await hive.give(robot, wire.AskMe())
    assert me.agent.webhook_url is None


@pytest.mark.parametrize("allowed", [False, True])
async def test_http_is_for_tests_alone(make_hive: MakeHive, allowed: bool) -> None:
    hive = await make_hive(hive_webhook_allow_private=allowed)
    robot = await hive.agent(await hive.person("bob"))
    order = wire.AddWebhook(url="http://127.0.0.1:9/x", events=("claim.accepted",))
    if allowed:
        await hive.give(robot, order)
    else:
        assert await hive.refused(robot, order) == Code.VALIDATION_ERROR
        assert await hive.refused(robot, wire.UpdateMe(webhook_url=order.url)) == Code.VALIDATION_ERROR
