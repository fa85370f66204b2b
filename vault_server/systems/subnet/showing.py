"""One task as somebody may see it. Whoever may judge it learns nothing here of who wrote what."""

from __future__ import annotations

from dataclasses import dataclass

from protocol import subnet as wire
from vault_server.core.operation import Caller, Reader, Transaction
from vault_server.systems.subnet import rules
from vault_server.systems.subnet.listing import sees_all
from vault_server.systems.subnet.places import Place, place_in
from vault_server.systems.subnet.records import Completions, Parts, Task, no_such_task, q


@dataclass(frozen=True, slots=True)
class Ballot:
    """What one voter judges: canonical JSON texts, under labels shuffled for him alone."""

    prompt: str
    a: str
    b: str

    @property
    def size_bytes(self) -> int:
        """How much it is."""
        return sum(len(text.encode()) for text in (self.prompt, self.a, self.b))


def ballot(parts: Parts, reader: Reader, task: Task, hotkey: str) -> Ballot:
    """The ballot of a voter on a task that is judged, always the same one."""
    completions = completions_of(reader, task)
    assert completions.miner is not None, f"task {task.id} is judged and has no answer"
    both = (completions.validator, completions.miner)
    a, b = both if parts.reference_label(task.id, hotkey) == "a" else both[::-1]
    return Ballot(rules.prompt_of(task.metadata), a, b)


def completions_of(reader: Reader, task: Task) -> Completions:
    """What both sides have answered."""
    return Completions.of(task, list(reader.all(q.completions_of_task, task_id=task.id)))


def get_task(parts: Parts, tx: Transaction, caller: Caller, order: wire.GetTask, now_ms: int) -> wire.TaskShown:
    """A task as the caller may see it; one that he may not see is not there."""
    found = tx.one(q.task_seen, id=order.task_id)
    if found is None:
        raise no_such_task(order.task_id)
    task = Task.of(found)
    place = place_in(tx, task, caller.hotkey)
    if task.status == "scored" and sees_all(tx, task, caller.hotkey):
        return _whole(tx, task)
    if place is Place.VOTER:
        return _to_voter(parts, tx, task, caller, now_ms)
    if place in (Place.VALIDATOR, Place.MINER, Place.CONTRIBUTOR):
        return _to_party(tx, task, place, caller, now_ms)
    raise no_such_task(order.task_id)


def _to_voter(parts: Parts, tx: Transaction, task: Task, caller: Caller, now_ms: int) -> wire.TaskShown:
    assert task.voting_closes_at is not None, f"task {task.id} is judged until some time"
    shown = ballot(parts, tx, task, caller.hotkey)
    vote = tx.one(q.vote_of, task_id=task.id, voter=caller.hotkey)
    if vote is None and now_ms >= task.voting_closes_at:
        raise no_such_task(task.id)
    label = None
    if vote is not None:
        reference = parts.reference_label(task.id, caller.hotkey)
        label = reference if vote["chosen_completion_id"] == task.reference_id else rules.other(reference)
    return wire.TaskShown(
        task_id=task.id,
        task_type=task.task_type,
        status=task.status,
        voting_closes_at=task.voting_closes_at,
        prompt=shown.prompt,
        a=shown.a,
        b=shown.b,
        voted=label,
    )


def _to_party(tx: Transaction, task: Task, place: Place, caller: Caller, now_ms: int) -> wire.TaskShown:
    """Validator and miner see the answer, which they can tell from the reference; a contributor sees his own alone."""
    completions = completions_of(tx, task)
    is_validator = place is Place.VALIDATOR
    sees_answer = place is not Place.CONTRIBUTOR or completions.author == caller.hotkey
    return wire.TaskShown(
        task_id=task.id,
        task_type=task.task_type,
        status=rules.status_now(task.status, task.expire_at, now_ms),
        voting_closes_at=task.voting_closes_at,
        task_metadata=task.metadata if is_validator else rules.public_metadata(task.metadata),
        created_at=task.created_at,
        expire_at=task.expire_at,
        submitted_at=task.submitted_at,
        validator_hotkey=task.validator,
        assigned_miner_hotkey=task.miner,
        submitted_by=completions.author,
        validator_completion=completions.validator if is_validator else None,
        miner_completion=completions.miner if sees_answer else None,
    )


def _whole(tx: Transaction, task: Task) -> wire.TaskShown:
    completions = completions_of(tx, task)
    return wire.TaskShown(
        task_id=task.id,
        task_type=task.task_type,
        status=task.status,
        voting_closes_at=task.voting_closes_at,
        task_metadata=task.metadata,
        created_at=task.created_at,
        expire_at=task.expire_at,
        submitted_at=task.submitted_at,
        scored_at=task.scored_at,
        validator_hotkey=task.validator,
        assigned_miner_hotkey=task.miner,
        submitted_by=completions.author,
        validator_completion=completions.validator,
        miner_completion=completions.miner,
    )
