"""What the vault shows of its rows in /metrics."""

from __future__ import annotations

from collections.abc import Mapping

from vault_server.core.operation import Gauge, Reader
from vault_server.storage.queries import load
from vault_server.systems.vault.states import TASK

q = load(__package__)


def tasks_by_status(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    """How many tasks are in each state, those that have ended included."""
    counted = {row["status"]: row["tasks"] for row in reader.all(q.count_tasks)}
    return {status: counted.get(status, 0) for status in sorted(TASK.states)}


def solvers_online(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    """How many solvers take part now."""
    row = reader.one(q.count_solvers_online)
    assert row is not None, "an aggregate has a row"
    return {"": row["solvers"]}


GAUGES = (
    Gauge("vault_tasks", "Tasks, by status.", "status", tasks_by_status),
    Gauge("vault_solvers_online", "Solvers that take part now.", "", solvers_online),
)
