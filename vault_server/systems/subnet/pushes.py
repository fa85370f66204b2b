"""Outbox rows of the subnet as messages. A push carries what is small; for more its receiver asks `get_task`."""

from __future__ import annotations

from collections.abc import Callable

from protocol import subnet as wire
from vault_server.core.operation import Push, Reader, Row
from vault_server.exchange.standing import STANDING_CHANGED
from vault_server.systems.subnet import allowances, rules
from vault_server.systems.subnet.listing import vote_line
from vault_server.systems.subnet.records import Parts, Task, q
from vault_server.systems.subnet.showing import ballot


def pushes(parts: Parts) -> list[Push]:
    """Every kind of push the subnet makes."""

    def asked(reader: Reader, push: Row) -> wire.VoteRequested | None:
        return _vote_requested(parts, reader, push)

    return [
        Push("task_assigned", _task_assigned, grants=allowances.of_assignment),
        Push("vote_requested", asked, grants=allowances.of_vote),
        Push("task_withdrawn", lambda _reader, push: wire.TaskWithdrawn(task_id=int(push["subject"]))),
        Push("completion_submitted", lambda _reader, push: wire.CompletionSubmitted(task_id=int(push["subject"]))),
        Push("task_expired", lambda _reader, push: wire.TaskExpired(task_id=int(push["subject"]))),
        Push("task_scored", _task_scored),
        Push("contributor_linked", _of_link(wire.ContributorLinked)),
        Push("contributor_revoked", _of_link(wire.ContributorRevoked)),
        STANDING_CHANGED,
    ]


Link = wire.ContributorLinked | wire.ContributorRevoked


def _of_link(message: Callable[..., Link]) -> Callable[[Reader, Row], Link]:
    return lambda _reader, push: message(contributor_hotkey=push["subject"], miner_hotkey=push["detail"])


def _task(reader: Reader, push: Row) -> Task | None:
    row = reader.one(q.task_seen, id=int(push["subject"]))
    return None if row is None else Task.of(row)


def _task_assigned(reader: Reader, push: Row) -> wire.TaskAssigned | None:
    task = _task(reader, push)
    if task is None or task.status != "assigned":
        return None
    metadata = rules.public_metadata(task.metadata)
    return wire.TaskAssigned(
        task_id=task.id,
        task_type=task.task_type,
        expire_at=task.expire_at,
        assigned_miner_hotkey=task.miner,
        task_metadata=metadata if len(metadata.encode()) <= wire.INLINE_BYTES_MAX else None,
    )


def _vote_requested(parts: Parts, reader: Reader, push: Row) -> wire.VoteRequested | None:
    task = _task(reader, push)
    voter = reader.one(q.key_of, receiver=push["receiver"])
    if task is None or task.status != "submitted" or task.voting_closes_at is None or voter is None:
        return None
    shown = ballot(parts, reader, task, voter["hotkey"])
    is_small = shown.size_bytes <= wire.INLINE_BYTES_MAX
    return wire.VoteRequested(
        task_id=task.id,
        task_type=task.task_type,
        voting_closes_at=task.voting_closes_at,
        prompt=shown.prompt if is_small else None,
        a=shown.a if is_small else None,
        b=shown.b if is_small else None,
    )


def _task_scored(reader: Reader, push: Row) -> wire.TaskScored | None:
    task = _task(reader, push)
    if task is None or task.status != "scored":
        return None
    votes = reader.all(q.votes_of_task, task_id=task.id, after=0, count=wire.LINES_MAX)
    scores = reader.all(q.scores_of_task, task_id=str(task.id), count=wire.LINES_MAX)
    return wire.TaskScored(
        task_id=task.id,
        votes=tuple(vote_line(task, row) for row in votes),
        scores=tuple(
            wire.TaskScoreLine(
                hotkey=row["hotkey"],
                score_change=row["score_change"],
                score_after=row["score_after"],
                reason=row["reason"],
            )
            for row in scores
        ),
    )
