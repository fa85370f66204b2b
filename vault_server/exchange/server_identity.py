"""All nodes of one database are one server to their peers: they prove the same key, which is noted in the database."""

from __future__ import annotations

from vault_server.core.operation import Transaction
from vault_server.storage.database import StorageError
from vault_server.storage.queries import load

q = load(__package__)

_SERVER_KEY = "server_key"


def agree_on_identity(tx: Transaction, hotkey: str) -> None:
    """Note the first node's public key; refuse a node with another one. Raises StorageError.

    Peers have pinned the key: behind one name they must not meet two.
    """
    row = tx.one(q.meta, name=_SERVER_KEY)
    if row is None:
        tx.run(q.set_meta, name=_SERVER_KEY, value=hotkey)
    elif row["value"] != hotkey:
        raise StorageError(
            f"the nodes of this database prove the key {row['value'][:16]}…, and this node's identity is"
            f" {hotkey[:16]}…; copy the identity file of another node, with mode 0600"
        )
