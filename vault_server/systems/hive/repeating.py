"""Idempotency keys of the hive (specs §6): the same request again gets the reply that is kept, sealed, for a day.

The reply is kept in the transaction of its request; what was refused is not kept, so that it can be tried again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from protocol.catalog import HIVE_FROM_SERVER
from protocol.envelope import Message
from protocol.errors import Code
from protocol.hive_json import from_json, to_json
from vault_server.core.operation import Caller, Reader, Refusal, Transaction
from vault_server.systems.hive.records import Parts, q

Handler = Callable[[Parts, Transaction, Caller, Any, int], Message]


def once(handler: Handler) -> Handler:
    """The handler of an order that may carry an `idempotency_key`."""

    @wraps(handler)
    def handle(parts: Parts, tx: Transaction, caller: Caller, order: Any, now_ms: int) -> Message:
        if order.idempotency_key is None:
            return handler(parts, tx, caller, order, now_ms)
        kept = recall(parts, tx, caller, order, now_ms)
        if kept is not None:
            return kept
        reply = handler(parts, tx, caller, order, now_ms)
        _keep(parts, tx, caller, order, reply, now_ms)
        return reply

    return handle


def recall(parts: Parts, reader: Reader, caller: Caller, order: Any, now_ms: int) -> Message | None:
    """What this request was answered before, or None. Raises Refusal(IDEMPOTENCY_KEY_MISMATCH).

    A door may ask first, to say that a reply is a repetition; the operation asks again, in its transaction.
    """
    row = reader.one(q.reply, owner=caller.subject, key=order.idempotency_key)
    if row is None or row["created_at"] <= now_ms - parts.settings.hive_idempotency_ms:
        return None
    if bytes(row["request_hash"]) != _hash(parts, order):
        raise Refusal(
            Code.IDEMPOTENCY_KEY_MISMATCH,
            "This idempotency key was used with another request.",
            "Use a fresh key for a new request, and an old key only to repeat its request.",
        )
    place = {"table": "hive_replies", "row": order.idempotency_key, "column": "reply", "owner": caller.subject}
    held = json.loads(parts.cipher.open(row["reply"], **place))
    return from_json(HIVE_FROM_SERVER[held.pop("type")], held, strict=False)


def _keep(parts: Parts, tx: Transaction, caller: Caller, order: Any, reply: Message, now_ms: int) -> None:
    place = {"table": "hive_replies", "row": order.idempotency_key, "column": "reply", "owner": caller.subject}
    held = json.dumps({"type": reply.SHAPE.wire_type, **to_json(reply)}, ensure_ascii=False).encode()
    # Only one that has served its time: another's of this moment has to stand in the way of this one.
    expired = now_ms - parts.settings.hive_idempotency_ms
    tx.run(q.forget_reply, owner=caller.subject, key=order.idempotency_key, before=expired)
    tx.run(
        q.insert_reply,
        owner=caller.subject,
        key=order.idempotency_key,
        request_hash=_hash(parts, order),
        reply=parts.cipher.seal(held, **place),
        now=now_ms,
    )


def _hash(parts: Parts, order: Message) -> bytes:
    fields = {**to_json(order), "idempotency_key": None, "type": order.SHAPE.wire_type}
    return parts.cipher.fingerprint(b"hive request\0" + json.dumps(fields, sort_keys=True).encode())
