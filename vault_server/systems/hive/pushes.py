"""Events as messages, for sockets and webhooks alike. Rows hold plain values; what somebody wrote is read here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from protocol import hive_replies as wire
from protocol.envelope import Message
from vault_server.core.operation import Push, Reader, Row
from vault_server.systems.hive.records import q

TASK_ID = "task_id"


def _held(push: Row) -> dict[str, Any]:
    return {TASK_ID: int(push["subject"]), **json.loads(push["detail"])}


def _plain(event: Callable[..., Message]) -> Callable[[Reader, Row], Message]:
    """An event whose row says everything."""
    return lambda _reader, push: event(**_held(push))


def _revision_requested(reader: Reader, push: Row) -> Message | None:
    held = _held(push)
    row = reader.one(q.deliverable_seen, id=held["deliverable_id"])
    return None if row is None else wire.RevisionRequested(**held, revision_notes=row["revision_notes"])


def _task_disputed(reader: Reader, push: Row) -> Message | None:
    held = _held(push)
    row = reader.one(q.dispute, task_id=held[TASK_ID])
    return None if row is None else wire.TaskDisputed(**held, reason=row["reason"])


def _dispute_resolved(reader: Reader, push: Row) -> Message | None:
    held = _held(push)
    row = reader.one(q.dispute, task_id=held[TASK_ID])
    return None if row is None else wire.DisputeResolved(**held, note=row["note"])


_WITH_TEXT: dict[type[Message], Callable[[Reader, Row], Message | None]] = {
    wire.RevisionRequested: _revision_requested,
    wire.TaskDisputed: _task_disputed,
    wire.DisputeResolved: _dispute_resolved,
}

PUSHES = [Push(event.SHAPE.wire_type, _WITH_TEXT.get(event, _plain(event))) for event in wire.PUSHED]
