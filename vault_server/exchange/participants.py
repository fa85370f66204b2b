"""Who takes part: one key, one row. A hello writes none; the first order that needs one does."""

from __future__ import annotations

from vault_server.core.operation import Caller, Transaction
from vault_server.storage.queries import load

q = load(__package__)


def register(tx: Transaction, caller: Caller, now_ms: int) -> None:
    """Make sure the caller's row exists; harmless when repeated."""
    tx.run(q.insert_participant, hotkey=caller.hotkey, fingerprint=caller.fingerprint, registered_at=now_ms)
