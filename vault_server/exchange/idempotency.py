"""A client's own key for a request: the same request again gives the same outcome, another one is refused."""

from __future__ import annotations

from protocol.errors import Code
from vault_server.core.operation import Caller, Refusal, Transaction
from vault_server.storage.queries import load

q = load(__package__)


def recall(tx: Transaction, caller: Caller, key: str, request_hash: bytes) -> str | None:
    """What `keep` stored for this key, or None. Raises Refusal(IDEMPOTENCY_CONFLICT)."""
    row = tx.one(q.idempotent_outcome, owner=caller.subject, key=key)
    if row is None:
        return None
    if row["request_hash"] != request_hash:
        raise Refusal(
            Code.IDEMPOTENCY_CONFLICT,
            "This idempotency key was used with another request.",
            "Use a fresh key for a new request, and an old key only to repeat its request.",
        )
    outcome: str = row["outcome"]
    return outcome


def keep(tx: Transaction, caller: Caller, key: str, request_hash: bytes, outcome: str, now_ms: int) -> None:
    """Remember what the request led to (an id, never a parameter)."""
    tx.run(
        q.insert_idempotent,
        owner=caller.subject,
        key=key,
        request_hash=request_hash,
        outcome=outcome,
        created_at=now_ms,
    )


def forget(tx: Transaction, before_ms: int) -> int:
    """Drop what is older than `before_ms`; the number dropped."""
    return tx.run(q.forget_idempotent, created_before=before_ms)
