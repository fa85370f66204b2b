"""What the hive shows of its rows in /metrics."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.hive_records import AGENT_STATUSES
from vault_server.core.operation import Gauge, Reader
from vault_server.systems.hive.records import q
from vault_server.systems.hive.states import TASK


def tasks_by_status(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    """How many tasks are in each state, those that are over included."""
    counted = {row["status"]: row["tasks"] for row in reader.all(q.count_tasks)}
    return {status: counted.get(status, 0) for status in sorted(TASK.states)}


def agents_by_status(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    """How many agents are active, paused, suspended."""
    counted = {row["status"]: row["agents"] for row in reader.all(q.count_agents_by_status)}
    return {status: counted.get(status, 0) for status in AGENT_STATUSES}


GAUGES = (
    Gauge("vault_hive_tasks", "Tasks of the hive, by status.", "status", tasks_by_status),
    Gauge("vault_hive_agents", "Agents of the hive, by status.", "status", agents_by_status),
)
