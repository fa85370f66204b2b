"""Checkpoints as solvers relay them (design §8): sealed, unseen, bounded in size and rate, until their task ends.

What they hold, protocol/relay.py says; who gets them, succession.py; how they are checked, checking.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol import relay
from protocol import vault as wire
from protocol.errors import Code
from vault_server.core.operation import Caller, Refusal, Row, Transaction
from vault_server.systems.vault.records import (
    Parts,
    Task,
    assignment_of_solver,
    not_live,
    open_modulus,
    open_residues,
    q,
    seal_residues,
)
from vault_server.systems.vault.states import IN_HAND, RELAY


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint as it is kept: `residues` as `relay.encode` writes them, `checked` of them by the server."""

    assignment: int
    task: str
    solver: str
    depth: int
    residues: bytes = field(repr=False)
    count: int
    checked: int


def keep_checkpoint(parts: Parts, tx: Transaction, kept: Kept, now_ms: int) -> None:
    """Store an assignment's checkpoint in the place of the one it had; whether that is being checked stays."""
    tx.run(
        q.keep_relay,
        assignment_id=kept.assignment,
        task_id=kept.task,
        solver_id=kept.solver,
        depth=kept.depth,
        residues=seal_residues(parts.cipher, kept.residues, kept.assignment, kept.solver),
        count=kept.count,
        checked=kept.checked,
        status=RELAY.first,
        taken_at=now_ms,
    )


def relay_checkpoint(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.RelayCheckpoint, now_ms: int
) -> wire.CheckpointTaken:
    """Keep residues that continue what this assignment has relayed so far."""
    row = assignment_of_solver(tx, caller, order.assignment)
    if row["assignment_status"] not in IN_HAND:
        raise not_live(row)
    task = Task.of(row, parts.cipher)
    _check_plan(parts, task, order)
    held = tx.one(q.relay, assignment_id=order.assignment)
    if held is not None:
        _check_turn(parts, held, order, now_ms)
    modulus = open_modulus(parts.cipher, row)
    before = b"" if held is None else open_residues(parts.cipher, held)
    residues = _joined(before, order, modulus)
    count = len(residues) // relay.residue_bytes(modulus)
    _check_size(parts, order, len(residues), count)
    checked = 0 if held is None else held["checked"]
    kept = Kept(order.assignment, task.fingerprint, caller.fingerprint, order.depth, residues, count, checked)
    keep_checkpoint(parts, tx, kept, now_ms)
    next_at = now_ms + parts.settings.relay_interval_ms
    return wire.CheckpointTaken(assignment=order.assignment, count=count, next_at=next_at)


def _check_plan(parts: Parts, task: Task, order: wire.RelayCheckpoint) -> None:
    if parts.settings.relay_bytes_max == 0:
        raise _refusal(order, "this server takes none (relay_bytes_max)")
    if not task.takes_relays:
        raise _refusal(order, "no proof is asked of its answer")
    if not relay.may_have_depth(task.squarings, task.modulus_bits, order.depth):
        raise _refusal(order, f"depth {order.depth} is not one of its plans, or its places are too far apart to check")


def _check_turn(parts: Parts, held: Row, order: wire.RelayCheckpoint, now_ms: int) -> None:
    next_at = held["taken_at"] + parts.settings.relay_interval_ms
    if held["status"] == "refuted":
        raise _refusal(order, "an earlier one of it was proved wrong")
    if now_ms < next_at:
        raise Refusal(
            Code.CHECKPOINT_EARLY,
            f"A checkpoint of assignment {order.assignment} was taken a moment ago.",
            f"Send one every {parts.settings.relay_interval_ms} ms (relay_interval_ms).",
            retry_after_ms=next_at - now_ms,
        )
    if order.depth != held["depth"]:
        raise _refusal(order, f"its checkpoint is kept at depth {held['depth']}, not {order.depth}")


def _joined(before: bytes, order: wire.RelayCheckpoint, modulus: int) -> bytes:
    """What is kept with what has come; where they overlap they are the same, so that a lost reply does no harm."""
    try:
        relay.decode(order.residues, modulus)
    except relay.BadCheckpoint as error:
        raise _refusal(order, str(error)) from None
    at = order.first * relay.residue_bytes(modulus)
    if at > len(before):
        raise _refusal(order, "its residues leave out places before place `first`")
    shared = min(len(before) - at, len(order.residues))
    if before[at : at + shared] != order.residues[:shared]:
        raise _refusal(order, "its residues are others than those that are kept")
    return before + order.residues[shared:]


def _check_size(parts: Parts, order: wire.RelayCheckpoint, size: int, count: int) -> None:
    if count > 1 << order.depth:
        raise _refusal(order, f"a plan of depth {order.depth} has {1 << order.depth} places")
    if size > parts.settings.relay_bytes_max:
        raise _refusal(order, f"it would have more than {parts.settings.relay_bytes_max} bytes (relay_bytes_max)")


def _refusal(order: wire.RelayCheckpoint, reason: str) -> Refusal:
    return Refusal(
        Code.CHECKPOINT_REFUSED,
        f"No such checkpoint of assignment {order.assignment} is kept: {reason}.",
        "Go on solving without relaying; the assignment is still yours.",
    )
