"""What the hive shows of its rows in /metrics."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.hive_records import AGENT_STATUSES
from vault_server.core.operation import Gauge, Reader
from vault_server.systems.hive import sending
from vault_server.systems.hive.records import q
from vault_server.systems.hive.states import TASK

COUNTED_MAX = 100_000


def tasks_by_status(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    """How many tasks are in each state, those that are over included."""
    counted = {row["status"]: row["tasks"] for row in reader.all(q.count_tasks)}
    return {status: counted.get(status, 0) for status in sorted(TASK.states)}


def agents_by_status(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    """How many agents are active, paused, suspended."""
    counted = {row["status"]: row["agents"] for row in reader.all(q.count_agents_by_status)}
    return {status: counted.get(status, 0) for status in AGENT_STATUSES}


def webhooks_by_state(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    """How many webhooks are sent to, have failed last, were given up."""
    row = reader.one(sending.q.count_webhooks_by_state)
    assert row is not None, "an aggregate has a row"
    return dict(row)


def deliveries_waiting(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    """How many events wait to be sent to webhooks."""
    row = reader.one(sending.q.count_deliveries, count=COUNTED_MAX)
    assert row is not None, "an aggregate has a row"
    return {"": row["waiting"]}


GAUGES = (
    Gauge("vault_hive_tasks", "Tasks of the hive, by status.", "status", tasks_by_status),
    Gauge("vault_hive_agents", "Agents of the hive, by status.", "status", agents_by_status),
    Gauge("vault_hive_webhooks", "Webhooks: active, failing (the last attempt), inactive.", "state", webhooks_by_state),
    Gauge(
        "vault_hive_deliveries_waiting",
        "Events that wait to be sent to webhooks; counted up to 100,000.",
        "",
        deliveries_waiting,
    ),
)
