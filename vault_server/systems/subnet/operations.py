"""What validators and miners can ask of the subnet: one function, one transaction, top to bottom."""

from __future__ import annotations

from protocol import json_text
from protocol import subnet as wire
from protocol.errors import Code
from protocol.sealing import parts as length_prefixed
from vault_server.core.operation import Caller, Refusal, Transaction, log
from vault_server.exchange import idempotency, participants
from vault_server.systems.subnet import rules, voting
from vault_server.systems.subnet.assigning import assign
from vault_server.systems.subnet.places import TEAM, Place, place_in
from vault_server.systems.subnet.records import Parts, Task, move_task, no_such_task, q, task_to_decide
from vault_server.systems.subnet.states import TASK


def create_task(parts: Parts, tx: Transaction, caller: Caller, order: wire.CreateTask, now_ms: int) -> wire.TaskCreated:
    """Store a task with its validator's completion and assign exactly one miner (seed 001, Tasks)."""
    request_hash = b""
    if order.idempotency_key is not None:
        request_hash = _request_hash(parts, order)
        earlier = idempotency.recall(tx, caller, order.idempotency_key, request_hash)
        if earlier is not None:
            return _created(task_to_decide(tx, int(earlier)))
    _check_metadata(order)
    expire_at = _deadline(parts, order, now_ms)
    participants.register(tx, caller, now_ms)
    _check_validator(parts, tx, caller)
    miner = assign(parts, tx, caller, order.assigned_miner_hotkey)
    task_id = _insert(parts, tx, caller, order, miner, expire_at, now_ms)
    if order.idempotency_key is not None:
        idempotency.keep(tx, caller, order.idempotency_key, request_hash, str(task_id), now_ms)
    picked = order.assigned_miner_hotkey is None
    log(tx, "subnet.task_created", subnet_task=task_id, validator=caller.fingerprint, miner=miner, picked=picked)
    return wire.TaskCreated(task_id=task_id, assigned_miner_hotkey=miner, expire_at=expire_at)


def _request_hash(parts: Parts, order: wire.CreateTask) -> bytes:
    fields = (
        order.task_type,
        order.task_metadata,
        order.validator_completion,
        str(order.expire_at),
        str(order.assigned_miner_hotkey),
    )
    return parts.cipher.fingerprint(length_prefixed(b"create_task", *(field.encode() for field in fields)))


def _created(task: Task) -> wire.TaskCreated:
    return wire.TaskCreated(task_id=task.id, assigned_miner_hotkey=task.miner, expire_at=task.expire_at)


def _check_metadata(order: wire.CreateTask) -> None:
    try:
        rules.negative_of(json_text.read(order.task_metadata))
    except ValueError as error:
        raise Refusal(
            Code.BAD_FIELD,
            f"Field 'task_metadata' does not fit: {error}.",
            "Name the side whose completion is known to be bad, or leave the key out.",
        ) from None


def _deadline(parts: Parts, order: wire.CreateTask, now_ms: int) -> int:
    """When the task ends. Raises Refusal(BAD_FIELD) for a time that has passed or is too far away."""
    if order.expire_at is None:
        return now_ms + parts.settings.subnet_expire_ms
    longest = parts.settings.subnet_expire_ms_max
    if not now_ms < order.expire_at <= now_ms + longest:
        raise Refusal(
            Code.BAD_FIELD,
            f"Field 'expire_at' is {order.expire_at - now_ms} ms from now by the server's clock.",
            f"Send a time later than now and at most {longest} ms away (subnet_expire_ms_max).",
        )
    return order.expire_at


def _check_validator(parts: Parts, tx: Transaction, caller: Caller) -> None:
    """Lock the validator's row, so that two requests at once cannot both be the last that is allowed."""
    row = tx.one(q.lock_participant, hotkey=caller.hotkey)
    counted = tx.one(q.count_open, hotkey=caller.hotkey)
    assert row is not None, "a registered key has a row"
    assert counted is not None, "an aggregate has a row"
    needed, limit = parts.settings.subnet_validator_reputation_min, parts.settings.subnet_open_tasks_max
    if row["reputation_score"] < needed:
        raise Refusal(
            Code.REPUTATION_TOO_LOW,
            f"Your reputation is {row['reputation_score']:g}; validators need {needed:g}.",
            "Earn some by answering and judging first.",
        )
    if counted["tasks"] >= limit:
        raise Refusal(
            Code.TOO_MANY_OPEN_TASKS,
            f"You have {limit} tasks that are neither scored nor over.",
            f"Wait for one, or cancel one; {limit} may be open at once (subnet_open_tasks_max).",
        )


def _insert(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.CreateTask, miner: str, expire_at: int, now_ms: int
) -> int:
    """The task, its completion, and the circle between them; the deferred key is looked at when this is committed."""
    blames = rules.blames_miner(
        has_mined=tx.one(q.has_mined, hotkey=miner) is not None,
        given_ms=expire_at - now_ms,
        fair_ms=parts.settings.subnet_fair_ms,
    )
    task = tx.one(
        q.insert_task,
        task_type=order.task_type,
        task_metadata=order.task_metadata,
        validator_hotkey=caller.hotkey,
        assigned_miner_hotkey=miner,
        status=TASK.first,
        expire_at=expire_at,
        blames_miner=int(blames),
        created_at=now_ms,
    )
    assert task is not None, "INSERT … RETURNING gives the row"
    task_id: int = task["id"]
    completion = _insert_completion(tx, caller, task_id, order.validator_completion, now_ms)
    tx.run(q.set_reference, id=task_id, completion_id=completion)
    return task_id


def _insert_completion(tx: Transaction, caller: Caller, task_id: int, text: str, now_ms: int) -> int:
    row = tx.one(q.insert_completion, hotkey=caller.hotkey, task_id=task_id, completion=text, created_at=now_ms)
    assert row is not None, "INSERT … RETURNING gives the row"
    return int(row["id"])


def cancel_task(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.CancelTask, now_ms: int
) -> wire.TaskCancelled:
    """Withdraw a task that nobody has answered yet."""
    task = task_to_decide(tx, order.task_id)
    if task.validator != caller.hotkey:
        raise no_such_task(order.task_id)
    status = rules.status_now(task.status, task.expire_at, now_ms)
    if not TASK.allows(status, "cancel"):
        raise Refusal(
            Code.TASK_EXPIRED if status == "expired" else Code.INVALID_STATUS,
            f"Task {task.id} is {status}.",
            "Only a task that is assigned and not answered yet can be withdrawn.",
        )
    move_task(tx, task, "cancel", TASK.after(task.status, "cancel"), now_ms)
    tell_parties(tx, task, "task_withdrawn", now_ms, leave_out=caller.hotkey)
    log(tx, "subnet.task_cancelled", subnet_task=task.id, validator=caller.fingerprint)
    return wire.TaskCancelled(task_id=task.id)


def submit_completion(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.SubmitCompletion, now_ms: int
) -> wire.CompletionTaken:
    """Store the one answer of the assigned miner, or of an active contributor; judging begins at once."""
    task = task_to_decide(tx, order.task_id)
    place = place_in(tx, task, caller.hotkey)
    if place is Place.CONTRIBUTOR:
        tx.one(q.link, contributor=caller.hotkey)  # the link's state counts at this moment: nobody ends it meanwhile
        place = place_in(tx, task, caller.hotkey)
    _check_author(task, place)
    _check_takes_answer(task, now_ms)
    participants.register(tx, caller, now_ms)
    _insert_completion(tx, caller, task.id, order.completion, now_ms)
    closes_at = now_ms + parts.settings.subnet_vote_window_ms
    changed = tx.run(
        q.submit_task,
        id=task.id,
        status=TASK.after(task.status, "submit"),
        voting_closes_at=closes_at,
        now=now_ms,
        expected=task.status,
    )
    assert changed == 1, f"task {task.id} is no longer {task.status}"
    tell_parties(tx, task, "completion_submitted", now_ms, leave_out=caller.hotkey)
    asked = voting.ask_present(parts, tx, task.id, now_ms)
    log(tx, "subnet.completion_submitted", subnet_task=task.id, author=caller.fingerprint, asked=asked)
    return wire.CompletionTaken(task_id=task.id, voting_closes_at=closes_at)


def _check_author(task: Task, place: Place) -> None:
    if place in TEAM:
        return
    if place in (Place.VALIDATOR, Place.FORMER):
        raise Refusal(
            Code.NOT_ASSIGNED,
            f"Task {task.id} is not yours to answer, or not any more.",
            "Its miner answers it, or somebody who is linked to him when the answer comes.",
        )
    raise no_such_task(task.id)


def _check_takes_answer(task: Task, now_ms: int) -> None:
    if task.status in ("submitted", "scored"):
        raise Refusal(
            Code.DUPLICATE_COMPLETION,
            f"Task {task.id} has its answer.",
            "There is one answer, and no editing it: it is being judged. Take the next task.",
        )
    status = rules.status_now(task.status, task.expire_at, now_ms)
    if status == "expired":
        raise Refusal(
            Code.TASK_EXPIRED,
            f"Task {task.id} ended at {task.expire_at}.",
            "Take the next task, and answer before its expire_at.",
        )
    if not TASK.allows(status, "submit"):
        raise Refusal(
            Code.INVALID_STATUS, f"Task {task.id} is {status}.", "Its validator has withdrawn it: take the next task."
        )


def tell_parties(tx: Transaction, task: Task, kind: str, now_ms: int, *, leave_out: str = "") -> None:
    """Push to the validator, the miner and those who help him now, but not to `leave_out`."""
    tx.run(q.tell_parties, kind=kind, task_id=task.id, subject=str(task.id), leave_out=leave_out, now=now_ms)
