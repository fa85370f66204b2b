"""Durable pushes: rows that stay until their receiver is done with them. Rows hold ids, never parameters or answers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from protocol.session import Ack
from vault_server.core.operation import Caller, Endpoint, Operation, Reader, Row, Transaction
from vault_server.storage.queries import load

q = load(__package__)

BATCH = 512
"""Rows looked at in one read."""


def push(
    tx: Transaction,
    key: str,
    endpoint: Endpoint,
    kind: str,
    subject: str,
    now_ms: int,
    *,
    detail: str = "",
    standing: bool = False,
) -> None:
    """Record a push of wire name `kind` about `subject` for the key with that fingerprint.

    One that is `standing` stays until what it is about ends: whoever ends that withdraws it.
    """
    push_to(tx, f"key:{key}", endpoint.value, kind, subject, now_ms, detail=detail, standing=standing)


def push_to(
    tx: Transaction,
    receiver: str,
    endpoint: str,
    kind: str,
    subject: str,
    now_ms: int,
    *,
    detail: str = "",
    standing: bool = False,
) -> None:
    """The same for any receiver: who has no key is named by his account (`Caller.subject`)."""
    tx.run(
        q.insert_push,
        receiver=receiver,
        endpoint=endpoint,
        kind=kind,
        subject=subject,
        detail=detail,
        standing=int(standing),
        created_at=now_ms,
    )


def withdraw(tx: Transaction, key: str, endpoint: Endpoint, kind: str, subject: str) -> None:
    """Take back what has lost its meaning before it was acknowledged."""
    tx.run(q.withdraw_push, receiver=f"key:{key}", endpoint=endpoint.value, kind=kind, subject=subject)


def since(reader: Reader, seq: int) -> Sequence[Row]:
    """The next rows after `seq`, whoever they are for."""
    return reader.all(q.pushes_since, seq=seq, count=BATCH)


def of_receiver(reader: Reader, receiver: str, endpoint: Endpoint, seq: int, count: int) -> Sequence[Row]:
    """The next `count` rows after `seq` for one receiver."""
    return reader.all(q.pushes_of_receiver, receiver=receiver, endpoint=endpoint.value, seq=seq, count=count)


def last(reader: Reader) -> int:
    """The highest number in the box now."""
    row = reader.one(q.last_push)
    assert row is not None, "an aggregate has a row"
    return int(row["seq"])


def running(reader: Reader) -> tuple[int, int]:
    """Transactions that are not over in this view: none before the first number, none that began from the second on.

    Every transaction has its number before it draws the number of a push. So once all that are below the second number
    are over, no push can appear any more with a number below one that was seen in this view. The second is a number of
    its own: a snapshot's xmax stands one past what has ended, and others have begun from there on.
    """
    row = reader.one(q.running_transactions)
    assert row is not None, "it always has one"
    return row["oldest"], row["next"]


class Acknowledged(NamedTuple):
    """What a connection's `ack`s of one turn of the event loop name: they have no replies, so they are one order."""

    pushes: tuple[int, ...]


def acknowledge(tx: Transaction, caller: Caller, order: Acknowledged, _now_ms: int) -> None:
    """Forget pushes of the caller. Unknown numbers are ignored: the ack was a double."""
    for seq in order.pushes:
        tx.run(q.acknowledge_push, seq=seq, receiver=caller.subject, endpoint=caller.endpoint.value)


def allowance(message: Ack) -> Hashable:
    """What sending the push that it names has granted."""
    return acknowledgement(message.push)


def acknowledgement(seq: int) -> Hashable:
    """What sending the push numbered `seq` grants: one acknowledgement."""
    return ("ack", seq)


RECEIVERS = frozenset({Endpoint.CLIENT, Endpoint.SOLVER, Endpoint.SUBNET, Endpoint.HIVE})

ACKNOWLEDGE = Operation(Acknowledged, RECEIVERS, acknowledge)
