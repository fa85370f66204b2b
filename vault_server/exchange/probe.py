"""Whether rows can be read and written now, tried with a row of its own."""

from __future__ import annotations

from vault_server.core.operation import Reader, Transaction
from vault_server.storage.queries import load

q = load(__package__)

PROBED_AT = "probed_at"


def look(reader: Reader) -> None:
    """Read a row."""
    reader.one(q.meta, name=PROBED_AT)


def write(tx: Transaction, now_ms: int) -> None:
    """Change a row: a transaction that changes nothing would not touch the disk."""
    tx.run(q.set_meta, name=PROBED_AT, value=str(now_ms))
