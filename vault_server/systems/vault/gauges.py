"""What the vault shows of its rows in /metrics."""

from __future__ import annotations

from collections.abc import Mapping

from vault_server.core.operation import Gauge, Reader
from vault_server.storage.queries import load
from vault_server.systems.vault.states import RELAY, TASK

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


def relays_by_status(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    """How many relayed checkpoints are kept, of tasks that have not ended."""
    counted = {row["status"]: row["relays"] for row in reader.all(q.relays_by_status)}
    return {status: counted.get(status, 0) for status in sorted(RELAY.states)}


def proofs_waiting(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    """How many proofs wait to be checked."""
    row = reader.one(q.count_proofs_waiting)
    assert row is not None, "an aggregate has a row"
    return {"": row["proofs"]}


GAUGES = (
    Gauge("vault_tasks", "Tasks, by status.", "status", tasks_by_status),
    Gauge("vault_checkpoints", "Relayed checkpoints that are kept, by status.", "status", relays_by_status),
    Gauge("vault_proofs_waiting", "Proofs that wait to be checked.", "", proofs_waiting),
    Gauge("vault_solvers_online", "Solvers that take part now.", "", solvers_online),
)
