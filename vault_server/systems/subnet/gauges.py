"""What the subnet shows of its rows in /metrics."""

from __future__ import annotations

from collections.abc import Mapping

from vault_server.core.operation import Gauge, Reader
from vault_server.systems.subnet.records import q
from vault_server.systems.subnet.states import TASK


def tasks_by_status(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    """How many tasks are in each state, those that are over included."""
    counted = {row["status"]: row["tasks"] for row in reader.all(q.count_tasks)}
    return {status: counted.get(status, 0) for status in sorted(TASK.states)}


def online(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    """How many are there, and what for; one key may be both."""
    row = reader.one(q.count_online)
    assert row is not None, "an aggregate has a row"
    return {"mining": row["miners"], "judging": row["judges"]}


GAUGES = (
    Gauge("vault_subnet_tasks", "Tasks of the subnet, by status.", "status", tasks_by_status),
    Gauge("vault_subnet_online", "Participants of the subnet that are there, by what for.", "availability", online),
)
