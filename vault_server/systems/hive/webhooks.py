"""Where agents have their events sent: addresses, and secrets that sign. Sending is another module's work (sending.py).

A secret signs, so it must be readable: it is sealed, and told once.
"""

from __future__ import annotations

import base64
import json
from urllib.parse import urlsplit

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from protocol.hive_records import EVENTS
from vault_server.core.operation import Caller, Reader, Refusal, Row, Transaction, log
from vault_server.systems.hive import access, sending, showing
from vault_server.systems.hive.delivery import SECRET_PREFIX
from vault_server.systems.hive.public_addresses import is_public, parse
from vault_server.systems.hive.records import Parts, q

SECRET_BYTES = 32
SHOWN_LENGTH = 8
OVERLAP_MS = 24 * 3600 * 1000
"""How long an old secret signs beside the new one."""


def add_webhook(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.AddWebhook, now_ms: int
) -> reply.WebhookSecret:
    """One more address for an agent's events."""
    agent_id = _agent(tx, caller)
    _check_url(parts, order.url)
    counted = tx.one(q.count_webhooks, agent_id=agent_id)
    assert counted is not None, "an aggregate has a row"
    limit = parts.settings.hive_webhooks_max
    if counted["webhooks"] >= limit:
        raise Refusal(
            Code.MAX_WEBHOOKS, f"You have {limit} webhooks.", "Delete one first (hive_webhooks_max); see list_webhooks."
        )
    secret = _make_secret(parts)
    webhook_id = _insert(parts, tx, agent_id, order.url, json.dumps(list(order.events)), secret, 0, now_ms)
    return reply.WebhookSecret(webhook=showing.webhook(_webhook(tx, agent_id, webhook_id)), secret=secret)


def set_profile_url(parts: Parts, tx: Transaction, agent_id: int, url: str | None, now_ms: int) -> str | None:
    """Make the webhook of `agents.webhook_url` what the profile says; the secret of a new one."""
    if url is not None:
        _check_url(parts, url)
    row = tx.one(q.profile_webhook, agent_id=agent_id)
    if row is not None:
        _delete(tx, row["id"])
    tx.run(q.set_webhook_url, id=agent_id, url=url)
    if url is None:
        return None
    secret = _make_secret(parts)
    _insert(parts, tx, agent_id, url, json.dumps(EVENTS), secret, 1, now_ms)
    return secret


def profile_works(tx: Transaction, agent_id: int, url: str) -> bool:
    """Whether events are sent to this URL for the profile's sake: one that was given up may be set again."""
    row = tx.one(q.profile_webhook, agent_id=agent_id)
    return row is not None and row["url"] == url and bool(row["is_active"])


def _agent(tx: Transaction, caller: Caller) -> int:
    """The agent that calls, its row locked, so that two requests at once cannot both be the last that is allowed."""
    agent_id = access.need_agent(access.actor_of(tx, caller))
    tx.one(q.agent_to_decide, id=agent_id)
    return agent_id


def _check_url(parts: Parts, url: str) -> None:
    """What can be said at once; what a name stands for is seen when something is sent there."""
    if parts.settings.hive_webhook_allow_private:
        return
    target = urlsplit(url)
    if target.scheme != "https":
        raise Refusal(Code.VALIDATION_ERROR, "The webhook's URL is not an https URL.", "Send one that is.")
    try:
        address = parse(target.hostname or "")
    except ValueError:
        return
    if not is_public(address):
        raise Refusal(
            Code.VALIDATION_ERROR,
            f"The webhook's address {target.hostname} is not one that everybody can reach.",
            "Give the URL of a receiver on the public internet.",
        )


def _make_secret(parts: Parts) -> str:
    return SECRET_PREFIX + base64.b64encode(parts.random_bytes(SECRET_BYTES)).decode()


def _insert(
    parts: Parts, tx: Transaction, agent_id: int, url: str, events: str, secret: str, is_profile: int, now_ms: int
) -> int:
    """The row, and then its secret, whose seal is bound to the row's number."""
    owner = f"agent:{agent_id}"
    row = tx.one(
        q.insert_webhook,
        agent_id=agent_id,
        owner=owner,
        url=url,
        secret=b"",
        events=events,
        secret_prefix=secret[:SHOWN_LENGTH],
        is_profile=is_profile,
        now=now_ms,
    )
    assert row is not None, "INSERT … RETURNING gives the row"
    webhook_id: int = row["id"]
    tx.run(q.set_secret, id=webhook_id, secret=_seal(parts, secret.encode(), webhook_id, owner, "secret"))
    log(tx, "hive.webhook_changed", agent=agent_id, webhook=webhook_id, what="added")
    return webhook_id


def _seal(parts: Parts, secret: bytes, webhook_id: int, owner: str, column: str) -> bytes:
    return parts.cipher.seal(secret, table="webhooks", row=str(webhook_id), column=column, owner=owner)


def _webhook(tx: Transaction, agent_id: int, webhook_id: int) -> Row:
    row = tx.one(q.webhook, id=webhook_id, agent_id=agent_id)
    if row is None:
        raise Refusal(
            Code.WEBHOOK_NOT_FOUND, f"You have no webhook {webhook_id}.", "Look at list_webhooks (GET /webhooks)."
        )
    return row


def list_webhooks(
    _parts: Parts, reader: Reader, caller: Caller, _order: wire.ListWebhooks, _now_ms: int
) -> reply.WebhookList:
    """All of an agent's, the oldest first."""
    agent_id = access.need_agent(access.actor_of(reader, caller))
    rows = reader.all(q.webhooks_of_agent, agent_id=agent_id)
    return reply.WebhookList(webhooks=tuple(showing.webhook(row) for row in rows))


def rotate_webhook_secret(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.RotateWebhookSecret, now_ms: int
) -> reply.WebhookSecret:
    """A new secret; the old one signs, too, for a day."""
    agent_id = _agent(tx, caller)
    row = _webhook(tx, agent_id, order.webhook_id)
    webhook_id, owner = row["id"], row["owner"]
    old = parts.cipher.open(row["secret"], table="webhooks", row=str(webhook_id), column="secret", owner=owner)
    secret = _make_secret(parts)
    tx.run(
        q.rotate_secret,
        id=webhook_id,
        secret=_seal(parts, secret.encode(), webhook_id, owner, "secret"),
        secret_prefix=secret[:SHOWN_LENGTH],
        previous_secret=_seal(parts, old, webhook_id, owner, "previous_secret"),
        previous_until=now_ms + OVERLAP_MS,
    )
    log(tx, "hive.webhook_changed", agent=agent_id, webhook=webhook_id, what="secret rotated")
    return reply.WebhookSecret(webhook=showing.webhook(_webhook(tx, agent_id, webhook_id)), secret=secret)


def delete_webhook(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.DeleteWebhook, _now_ms: int
) -> reply.WebhookDeleted:
    """Nothing more is sent there, what waits included."""
    agent_id = _agent(tx, caller)
    row = _webhook(tx, agent_id, order.webhook_id)
    if row["is_profile"]:
        tx.run(q.set_webhook_url, id=agent_id, url=None)
    _delete(tx, row["id"])
    log(tx, "hive.webhook_changed", agent=agent_id, webhook=row["id"], what="deleted")
    return reply.WebhookDeleted(webhook_id=row["id"])


def _delete(tx: Transaction, webhook_id: int) -> None:
    tx.run(q.delete_webhook, id=webhook_id)  # first: whoever is about to send there holds its row
    sending.forget(tx, webhook_id)
