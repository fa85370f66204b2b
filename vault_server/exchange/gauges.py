"""What the exchange shows of its rows in /metrics."""

from __future__ import annotations

from collections.abc import Mapping

from vault_server.core.operation import Gauge, Reader
from vault_server.exchange import deadlines
from vault_server.storage.queries import load

q = load(__package__)

COUNTED_MAX = 100_000
"""A longer outbox is shown as this long: whoever watches it knows by then."""


def outbox_rows(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    """Pushes whose receivers are not done with them."""
    row = reader.one(q.count_pushes, count=COUNTED_MAX)
    assert row is not None, "an aggregate has a row"
    return {"": row["waiting"]}


def overdue_seconds(reader: Reader, now_ms: int) -> Mapping[str, float]:
    """How long ago the oldest deadline should have been carried out."""
    due_ms = deadlines.next_due_ms(reader)
    return {"": 0.0 if due_ms is None else max(0.0, (now_ms - due_ms) / 1000)}


GAUGES = (
    Gauge(
        "vault_outbox_rows",
        f"Pushes whose receivers are not done with them; counted up to {COUNTED_MAX:,}.",
        "",
        outbox_rows,
    ),
    Gauge(
        "vault_deadline_overdue_seconds", "By how much the oldest deadline is late; 0: none is.", "", overdue_seconds
    ),
)
