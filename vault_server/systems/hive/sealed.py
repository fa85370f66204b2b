"""The hive's columns that hold sealed values: a new master key has to reach them all."""

from __future__ import annotations

from vault_server.core.operation import SealedColumn

SEALED = (
    SealedColumn("webhooks", "secret", row="id", owner="owner", key="id"),
    SealedColumn("webhooks", "previous_secret", row="id", owner="owner", key="id"),
    SealedColumn("hive_replies", "reply", row="key", owner="owner", key="id"),
)
