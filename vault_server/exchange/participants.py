"""Who takes part: one key, one row. A hello writes none; the first order that needs one does."""

from __future__ import annotations

from protocol.identity import fingerprint_of
from vault_server.core.operation import Caller, Transaction
from vault_server.storage.queries import load

q = load(__package__)


def register(tx: Transaction, caller: Caller, now_ms: int) -> None:
    """Make sure the caller's row exists; harmless when repeated."""
    tx.run(q.insert_participant, hotkey=caller.hotkey, fingerprint=caller.fingerprint, registered_at=now_ms)


def register_key(tx: Transaction, hotkey: str, now_ms: int) -> None:
    """The same for a key that somebody else has named (64 hex digits)."""
    fingerprint = fingerprint_of(bytes.fromhex(hotkey))
    tx.run(q.insert_participant, hotkey=hotkey, fingerprint=fingerprint, registered_at=now_ms)
