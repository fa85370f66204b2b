"""What the server orders itself: it starts, keys go, tasks expire, votings close."""

from __future__ import annotations

from vault_server.core.operation import Caller, Transaction, log
from vault_server.exchange import presence
from vault_server.systems.subnet import orders, rules
from vault_server.systems.subnet.operations import tell_parties
from vault_server.systems.subnet.records import Parts, Task, move_task, q
from vault_server.systems.subnet.rules import Reason
from vault_server.systems.subnet.states import TASK
from vault_server.systems.subnet.voting import move, settle


def start_serving(parts: Parts, tx: Transaction, caller: Caller, _order: orders.StartServing, now_ms: int) -> None:
    """Nobody is here before they connect, and nobody is to blame for a server that was down."""
    if tx.is_alone:
        tx.run(q.nobody_is_there)
    else:
        tx.run(q.nobody_is_at_node, node=parts.settings.node)
    excuse_participants(parts, tx, caller, orders.ExcuseParticipants(), now_ms)


def excuse_participants(
    parts: Parts, tx: Transaction, _caller: Caller, _order: orders.ExcuseParticipants, now_ms: int
) -> None:
    """What fell due while the server was down, or stood still, is due after `restart_grace_ms`."""
    if presence.others_were_there(tx, parts.settings.node, now_ms):
        return  # whoever was connected here could go there
    until = now_ms + parts.settings.restart_grace_ms
    tasks, votings = tx.run(q.excuse_tasks, until=until), tx.run(q.prolong_votings, until=until)
    if tasks:
        tx.run(q.postpone_expiries, until=until)
    if votings:
        tx.run(q.postpone_closings, until=until)
    if tasks or votings:
        log(tx, "subnet.excused", tasks=tasks, votings=votings, until=until)


def leave_participant(
    parts: Parts, tx: Transaction, caller: Caller, _order: orders.LeaveParticipant, _now_ms: int
) -> None:
    """A participant is gone; what waits for him stays."""
    tx.run(q.leave, hotkey=caller.hotkey, node=parts.settings.node)


def node_is_gone(tx: Transaction, node: str, _now_ms: int) -> None:
    """A server is gone: whoever was there is given nothing until he comes to another one."""
    tx.run(q.node_is_gone, node=node)


def node_is_back(tx: Transaction, node: str, _now_ms: int) -> None:
    """A server was only taken to be gone: whoever has not left it is there."""
    tx.run(q.node_is_back, node=node)


def expire_task(parts: Parts, tx: Transaction, _caller: Caller, order: orders.ExpireTask, now_ms: int) -> None:
    """Nobody answered in time: it costs the miner, and nobody else is asked; its validator may ask anew."""
    row = tx.one(q.task, id=order.task_id)
    if row is None or not TASK.allows(row["status"], "expire"):
        return
    task = Task.of(row)
    move_task(tx, task, "expire", TASK.after(task.status, "expire"), now_ms)
    tell_parties(tx, task, "task_expired", now_ms)
    if task.blames_miner:
        cost = rules.EXPIRY_COST * parts.settings.subnet_score_scale
        move(tx, task.miner, -cost, Reason.TASK_EXPIRED, task.id, now_ms)
    log(tx, "subnet.task_expired", subnet_task=task.id, miner=task.miner, blamed=task.blames_miner)


def close_voting(parts: Parts, tx: Transaction, _caller: Caller, order: orders.CloseVoting, now_ms: int) -> None:
    """The window has passed: the votes there are count."""
    row = tx.one(q.task, id=order.task_id)
    if row is not None and TASK.allows(row["status"], "settle"):
        settle(parts, tx, Task.of(row), now_ms)


def reduce_reputation(tx: Transaction, fingerprint: str, now_ms: int) -> None:
    """Repeated violations of the rate limit on /subnet (seed 000 §3.4)."""
    row = tx.one(q.participant_by_fingerprint, fingerprint=fingerprint)
    if row is not None:
        move(tx, row["hotkey"], -rules.VIOLATION_COST, Reason.VIOLATIONS, None, now_ms)
