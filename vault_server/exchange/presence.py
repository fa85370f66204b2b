"""Which servers are there: each has a row and a lease that it renews. Who is online is so on one of them.

A server whose lease has run out is taken to be gone, by whichever notices it: its peers are offline, keep what they
have in hand, and what it was computing is taken up. It may turn out to be there after all; then its peers come back.
Leases are compared by the servers' own clocks: those must agree to well below `node_lease_ms`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vault_server.core.operation import (
    Caller,
    Endpoint,
    JobDue,
    Operation,
    System,
    Transaction,
    log,
)
from vault_server.storage.queries import load

q = load(__package__)

THERE_MS = 10_000
"""Who has been there for so long without a break was there while another one stood still or was down."""


@dataclass(frozen=True, slots=True)
class ClaimNode:
    """The server starts: it is the node of that name. The reply is None, or the lease that somebody else holds."""

    seen: int | None = None


@dataclass(frozen=True, slots=True)
class RenewLease:
    """The server is there. The reply is False when another one has taken its name."""


@dataclass(frozen=True, slots=True)
class LeaveNode:
    """The server stops, and nobody is connected to it any more."""


def others_were_there(tx: Transaction, node: str, now_ms: int) -> bool:
    """Whether another server has been there all the time: then nobody is to be excused for what this one missed."""
    return tx.one(q.node_that_was_there, node=node, now=now_ms, since=now_ms - THERE_MS) is not None


def several_are_there(tx: Transaction, now_ms: int) -> bool:
    """Whether more than one server serves this database now."""
    row = tx.one(q.count_nodes, now=now_ms)
    return row is not None and row["nodes"] > 1


class Presence:
    """The operations of the node called `node` in its present `run`."""

    def __init__(self, node: str, run: str, lease_ms: int, systems: Sequence[System]) -> None:
        self._node = node
        self._run = run
        self._lease_ms = lease_ms
        self._systems = systems

    def claim(self, tx: Transaction, _caller: Caller, order: ClaimNode, now_ms: int) -> int | None:
        """Take the name. Where others may be, a lease that is still good is respected until `order.seen` shows that
        nobody renews it; on a file of its own a server is the only one there can be.
        """
        row = tx.one(q.node, node=self._node)
        if row is not None and not tx.is_alone and row["lease_until"] >= now_ms and row["lease_until"] != order.seen:
            return int(row["lease_until"])
        gone = [self._node]
        if tx.is_alone:
            gone += [other["node"] for other in tx.all(q.other_nodes, node=self._node)]
        for node in gone:
            self._forget(tx, node, now_ms)
        lease_until = now_ms + self._lease_ms
        tx.run(q.enter_node, node=self._node, run=self._run, since=now_ms, lease_until=lease_until)
        return None

    def renew(self, tx: Transaction, _caller: Caller, _order: RenewLease, now_ms: int) -> bool:
        """Stay, notice who is gone, and come back if one was taken to be gone oneself."""
        row = tx.one(q.node, node=self._node)
        if row is not None and row["run"] != self._run:
            return False
        since, lease_until = now_ms, now_ms + self._lease_ms
        if row is None:
            tx.run(q.enter_node, node=self._node, run=self._run, since=since, lease_until=lease_until)
            self._come_back(tx, now_ms)
        else:
            since = row["since"] if row["lease_until"] >= now_ms else now_ms
            tx.run(q.renew_lease, node=self._node, run=self._run, since=since, lease_until=lease_until)
        for other in tx.all(q.nodes_gone, node=self._node, now=now_ms):
            self._forget(tx, other["node"], now_ms)
            log(tx, "node.gone", gone=other["node"])
            self._take_up(tx)
        return True

    def leave(self, tx: Transaction, _caller: Caller, _order: LeaveNode, now_ms: int) -> None:
        """Whoever is still said to be online here is not."""
        if tx.run(q.leave_node, node=self._node, run=self._run):
            self._forget(tx, self._node, now_ms)

    def _forget(self, tx: Transaction, node: str, now_ms: int) -> None:
        for system in self._systems:
            for take_offline in system.absent:
                take_offline(tx, node, now_ms)
        tx.run(q.forget_node, node=node)

    def _come_back(self, tx: Transaction, now_ms: int) -> None:
        log(tx, "node.returned")
        for system in self._systems:
            for bring_back in system.returned:
                bring_back(tx, self._node, now_ms)

    def _take_up(self, tx: Transaction) -> None:
        """What the other one was computing. Others may be at it, too: results are written once."""
        for job in (job for system in self._systems for job in system.jobs):
            for key in job.pending(tx):
                tx.after(JobDue(job.name, key))


def system(node: str, run: str, lease_ms: int, systems: Iterable[System]) -> System:
    """Presence in the shape of a system, for all the others."""
    presence = Presence(node, run, lease_ms, list(systems))
    itself = frozenset({Endpoint.SERVER})
    return System(
        name="presence",
        doors=[],
        operations=[
            Operation(ClaimNode, itself, presence.claim),
            Operation(RenewLease, itself, presence.renew),
            Operation(LeaveNode, itself, presence.leave),
        ],
        pushes=[],
    )
