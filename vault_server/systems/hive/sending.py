"""Sending to webhooks: one delivery of one webhook at a time, in order, each until it succeeds or is given up.

What waits is rows of the outbox. Who sends claims the webhook by a deadline: if he does not conclude, it falls due, and
the same delivery is sent again, by whoever is there. Webhooks that failed or took long last time have threads of their
own, so that they hold up nobody whose receiver answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import structlog

from vault_server.core.operation import Caller, Job, JobDue, Reader, Row, Transaction, log
from vault_server.exchange import deadlines
from vault_server.storage.database import StorageError
from vault_server.storage.queries import load as load_queries
from vault_server.systems.hive import orders, rules
from vault_server.systems.hive.delivery import Delivery, body_of, message_id
from vault_server.systems.hive.outgoing import Outgoing, Undelivered
from vault_server.systems.hive.public_addresses import is_public
from vault_server.systems.hive.pushes import PUSHES
from vault_server.systems.hive.records import Parts

logger = structlog.get_logger()

q = load_queries(__package__, "sending.sql")

SEND = "send_webhook"
SEND_SLOW = "send_slow_webhook"
CLAIM = "send_webhook"
"""The deadline until which nobody else sends: somebody is at it, or the next attempt waits."""

SLOW_MS = 1000
"""A receiver that takes longer to answer is sent to by the threads for the slow ones."""
LOOK_AGAIN_SECONDS = 2.0
"""What a node left that stopped before it began, or that two nodes each took to be the other's, is found after this."""

_RENDERERS = {push.kind: push.render for push in PUSHES}


def due(lane: Row) -> JobDue:
    """Have a webhook's next delivery sent: a row of id, is_slow, operator_id."""
    return JobDue(SEND_SLOW if lane["is_slow"] else SEND, str(lane["id"]), f"user:{lane['operator_id']}")


def jobs(parts: Parts, outgoing: Outgoing | None = None) -> list[Job]:
    """Both lanes."""
    settings = parts.settings
    compute = partial(attempt, outgoing or outgoing_of(parts))
    lanes = ((SEND, 0, settings.hive_webhook_threads), (SEND_SLOW, 1, settings.hive_webhook_slow_threads))
    return [
        Job(
            name,
            load=partial(load, parts),
            compute=compute,
            conclude=lambda _key, ended: ended,
            pending=partial(pending, is_slow=is_slow),
            begin=orders.BeginDelivery,
            threads=threads,
            pending_seconds=LOOK_AGAIN_SECONDS,
        )
        for name, is_slow, threads in lanes
    ]


def outgoing_of(parts: Parts) -> Outgoing:
    """What the settings allow."""
    seconds = parts.settings.hive_webhook_timeout_ms / 1000
    if parts.settings.hive_webhook_allow_private:
        return Outgoing(seconds, lambda _address: True, frozenset({"https", "http"}))
    return Outgoing(seconds, is_public)


def pending(reader: Reader, is_slow: int) -> Iterable[str]:
    """The webhooks for which something waits and nobody is at it."""
    return [str(row["id"]) for row in reader.all(q.webhooks_waiting, is_slow=is_slow)]


def load(parts: Parts, reader: Reader, key: str) -> Delivery | None:
    """The next delivery of a webhook, unless somebody is at it. An agent that is not active gets its events later."""
    row = reader.one(q.webhook_free, id=int(key))
    push = None if row is None else _next(reader, row)
    if row is None or push is None:
        return None
    owner, previous = row["owner"], row["previous_secret"]

    def opened(column: str) -> str:
        return parts.cipher.open(row[column], table="webhooks", row=key, column=column, owner=owner).decode()

    return Delivery(
        webhook_id=row["id"],
        seq=push["seq"],
        attempt=1 + (row["attempts"] if row["delivering"] == push["seq"] else 0),
        kind=push["kind"],
        message_id=message_id(push["seq"], push["created_at"]),
        url=row["url"],
        body=_body(reader, push),
        secret=opened("secret"),
        previous_secret=None if previous is None else opened("previous_secret"),
        previous_until_ms=row["previous_until"] or 0,
    )


def _next(reader: Reader, webhook: Row) -> Row | None:
    """The delivery that was begun comes first: where several write at once, a lower number may appear behind it."""
    receiver = _receiver(webhook["id"])
    begun = (
        None if webhook["delivering"] is None else reader.one(q.delivery, receiver=receiver, seq=webhook["delivering"])
    )
    return begun or reader.one(q.first_delivery, receiver=receiver)


def _body(reader: Reader, push: Row) -> bytes | None:
    try:
        event = _RENDERERS[push["kind"]](reader, push)
    except StorageError:
        raise
    except Exception as error:  # one row that cannot be shown must not hold up the others
        logger.error("push.failed", seq=push["seq"], kind=push["kind"], exc_info=error)
        return None
    return None if event is None else body_of(push["kind"], event)


def begin(parts: Parts, tx: Transaction, _caller: Caller, order: orders.BeginDelivery, now_ms: int) -> Delivery | None:
    """Claim the webhook for longer than the longest attempt; None when somebody else has, or it is not as it was."""
    delivery = order.delivery
    row = tx.one(q.webhook_locked, id=delivery.webhook_id)
    if row is None or not row["is_active"] or tx.one(q.claimed, subject=str(delivery.webhook_id)) is not None:
        return None
    attempts = row["attempts"] if row["delivering"] == delivery.seq else 0
    waits = tx.one(q.delivery, receiver=_receiver(delivery.webhook_id), seq=delivery.seq)
    if waits is None or attempts != delivery.attempt - 1:
        return None
    claim_ms = 2 * parts.settings.hive_webhook_timeout_ms + 1000
    deadlines.put(tx, CLAIM, str(delivery.webhook_id), now_ms + claim_ms)
    tx.run(q.begin_delivery, id=delivery.webhook_id, seq=delivery.seq, attempts=attempts, now=now_ms)
    return replace(delivery, at_ms=now_ms)


def attempt(outgoing: Outgoing, delivery: Delivery) -> orders.EndDelivery:
    """Send it, once; never raises. Runs in a thread."""
    if delivery.body is None:
        return orders.EndDelivery(delivery, 0, was_sent=False)
    started = time.monotonic()
    try:
        status = outgoing.post(delivery.url, delivery.headers(), delivery.body)
        failure = None if 200 <= status <= 299 else f"status {status}"
    except Undelivered as undelivered:
        failure = str(undelivered)
    except Exception as error:  # a defect here must not make one delivery come again for ever
        logger.exception("job.failed", job=SEND, key=str(delivery.webhook_id))
        failure = f"a defect: {type(error).__name__}"
    return orders.EndDelivery(delivery, round((time.monotonic() - started) * 1000), failure)


def end(parts: Parts, tx: Transaction, _caller: Caller, order: orders.EndDelivery, now_ms: int) -> None:
    """Record what became of an attempt, and go on with the next one when that is due."""
    delivery = order.delivery
    row = tx.one(q.webhook_locked, id=delivery.webhook_id)
    if row is None or not row["is_active"]:
        return  # deleted, or given up, meanwhile
    if order.failure is None:
        _succeed(tx, order)
    elif row["delivering"] == delivery.seq and row["attempts"] == delivery.attempt - 1:
        _fail(parts, tx, row, order, now_ms)
    # else somebody has ended this attempt before: it lasted longer than its claim


def _succeed(tx: Transaction, order: orders.EndDelivery) -> None:
    delivery = order.delivery
    if not tx.run(q.forget_delivery, receiver=_receiver(delivery.webhook_id), seq=delivery.seq):
        return
    if order.was_sent:
        tx.run(q.delivery_succeeded, id=delivery.webhook_id, is_slow=int(order.took_ms > SLOW_MS))
        log(tx, "webhook.sent", **_named(delivery), took_ms=order.took_ms)
    else:
        tx.run(q.delivery_over, id=delivery.webhook_id)
        log(tx, "webhook.dropped", **_named(delivery), reason="it has no object any more")
    _go_on(tx, delivery.webhook_id)


def _fail(parts: Parts, tx: Transaction, row: Row, order: orders.EndDelivery, now_ms: int) -> None:
    delivery, webhook_id = order.delivery, order.delivery.webhook_id
    failures = row["failure_count"] + 1
    tx.run(q.attempt_failed, id=webhook_id)
    log(
        tx,
        "webhook.failed",
        **_named(delivery),
        host=_host(delivery.url),
        reason=order.failure,
        took_ms=order.took_ms,
        failures=failures,
    )
    waits = parts.settings.hive_webhook_retry_ms
    if failures >= rules.WEBHOOK_FAILURES_MAX:
        _deactivate(tx, webhook_id, row["agent_id"], failures)
    elif delivery.attempt > len(waits):
        tx.run(q.forget_delivery, receiver=_receiver(webhook_id), seq=delivery.seq)
        tx.run(q.delivery_over, id=webhook_id)
        log(tx, "webhook.dropped", **_named(delivery), reason="it failed as often as it is tried")
        _go_on(tx, webhook_id)
    else:
        wait_ms = rules.jittered(waits[delivery.attempt - 1], parts.random_bytes(2))
        deadlines.put(tx, CLAIM, str(webhook_id), now_ms + wait_ms)


def _deactivate(tx: Transaction, webhook_id: int, agent_id: int, failures: int) -> None:
    tx.run(q.deactivate_webhook, id=webhook_id)
    forget(tx, webhook_id)
    log(tx, "webhook.deactivated", webhook=webhook_id, agent=agent_id, failures=failures)


def forget(tx: Transaction, webhook_id: int) -> None:
    """Nothing more is sent there: what waits goes, with the claim."""
    tx.run(q.forget_deliveries, receiver=_receiver(webhook_id))
    deadlines.clear(tx, CLAIM, str(webhook_id))


def resume(_parts: Parts, tx: Transaction, _caller: Caller, order: orders.ResumeWebhook, _now_ms: int) -> None:
    """The claim has gone with its deadline: the next attempt is due here."""
    lane = tx.one(q.webhook_lane, id=order.webhook_id)
    if lane is not None:
        tx.after(due(lane))


def _go_on(tx: Transaction, webhook_id: int) -> None:
    deadlines.clear(tx, CLAIM, str(webhook_id))
    if tx.one(q.first_delivery, receiver=_receiver(webhook_id)) is not None:
        lane = tx.one(q.webhook_lane, id=webhook_id)
        assert lane is not None, f"webhook {webhook_id} is locked, and there"
        tx.after(due(lane))


def _receiver(webhook_id: int) -> str:
    return f"webhook:{webhook_id}"


def _host(url: str) -> str:
    """Where a URL leads, without what it says there: that may be a secret."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _named(delivery: Delivery) -> dict[str, int | str]:
    return {
        "webhook": delivery.webhook_id,
        "delivery": delivery.message_id,
        "kind": delivery.kind,
        "attempt": delivery.attempt,
    }
