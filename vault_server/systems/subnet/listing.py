"""What participants can look at: lists of tasks, people, scores and votes, page by page."""

from __future__ import annotations

from collections.abc import Sequence

from protocol import subnet as wire
from protocol.errors import Code
from vault_server.core.operation import Caller, Query, Refusal, Row, Transaction
from vault_server.systems.subnet import rules
from vault_server.systems.subnet.places import Place, place_in
from vault_server.systems.subnet.records import Parts, Task, no_such_task, q
from vault_server.systems.subnet.voting import side_of

LINES_UNASKED = 50
"""Lines of a page when nobody says."""
ID_MAX = 2**63 - 1


def list_tasks(_parts: Parts, tx: Transaction, caller: Caller, order: wire.ListTasks, now_ms: int) -> wire.TaskList:
    """One page of the tasks in which the caller has this role."""
    count = order.limit or LINES_UNASKED
    before = order.cursor or ID_MAX
    if order.role == "voter":
        rows = tx.all(
            q.tasks_of_voter, hotkey=caller.hotkey, before=before, status=order.status, count=count, now=now_ms
        )
        lines = [_voters_line(row, now_ms) for row in rows]
    else:
        lines = [_line(Task.of(row), now_ms) for row in _tasks(tx, caller, order, before, count)]
    return wire.TaskList(tasks=tuple(lines), next=lines[-1].task_id if len(lines) == count else None)


def _tasks(tx: Transaction, caller: Caller, order: wire.ListTasks, before: int, count: int) -> Sequence[Row]:
    hotkey = caller.hotkey
    if order.role == "contributor":
        link = tx.one(q.link_seen, contributor=caller.hotkey)
        if link is None or link["revoked_at"] is not None:
            return ()
        hotkey = link["miner_hotkey"]
    of_all, of_some = _QUERIES[order.role]
    if order.status is None:
        return tx.all(of_all, hotkey=hotkey, before=before, count=count)
    return tx.all(of_some, hotkey=hotkey, status=order.status, before=before, count=count)


_OF_MINER = (q.tasks_of_miner, q.tasks_of_miner_in)
_QUERIES: dict[str, tuple[Query, Query]] = {
    "validator": (q.tasks_of_validator, q.tasks_of_validator_in),
    "miner": _OF_MINER,
    "contributor": _OF_MINER,
}


def _line(task: Task, now_ms: int) -> wire.TaskLine:
    return wire.TaskLine(
        task_id=task.id,
        task_type=task.task_type,
        status=rules.status_now(task.status, task.expire_at, now_ms),
        created_at=task.created_at,
        expire_at=task.expire_at,
        submitted_at=task.submitted_at,
        voting_closes_at=task.voting_closes_at,
        scored_at=task.scored_at,
        assigned_miner_hotkey=task.miner,
        validator_hotkey=task.validator,
    )


def _voters_line(row: Row, now_ms: int) -> wire.TaskLine:
    """Nothing that could tell who wrote what, nor when."""
    return wire.TaskLine(
        task_id=row["id"],
        task_type=row["task_type"],
        status=rules.status_now(row["status"], row["expire_at"], now_ms),
        voting_closes_at=row["voting_closes_at"],
        scored_at=row["scored_at"],
        voted=bool(row["voted"]),
    )


def get_participant(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.GetParticipant, _now_ms: int
) -> wire.Participant:
    """Somebody's reputation and roles; roles follow from rows and are stored nowhere (seed 001)."""
    row = _participant(tx, order.hotkey or caller.hotkey)
    roles = tx.one(q.roles, hotkey=row["hotkey"])
    assert roles is not None, "a SELECT without FROM has a row"
    link = tx.one(q.link_seen, contributor=row["hotkey"]) if roles["contributor"] else None
    return wire.Participant(
        hotkey=row["hotkey"],
        fingerprint=row["fingerprint"],
        reputation_score=row["reputation_score"],
        registered_at=row["registered_at"],
        roles=tuple(role for role in wire.ROLES if roles[role]),
        contributes_to=None if link is None else link["miner_hotkey"],
    )


def _participant(tx: Transaction, hotkey: str) -> Row:
    row = tx.one(q.participant, hotkey=hotkey)
    if row is None:
        raise Refusal(
            Code.NOT_REGISTERED, f"Key {hotkey} does not take part.", "Check the key; taking part begins with register."
        )
    return row


def score_history(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.AskScoreHistory, _now_ms: int
) -> wire.ScoreChanges:
    """One page of somebody's score history."""
    row = _participant(tx, order.hotkey or caller.hotkey)
    count = order.limit or LINES_UNASKED
    rows = tx.all(q.score_changes, hotkey=row["hotkey"], before=order.cursor or ID_MAX, count=count)
    return wire.ScoreChanges(
        hotkey=row["hotkey"],
        reputation_score=row["reputation_score"],
        changes=tuple(_score_line(each) for each in rows),
        next=rows[-1]["id"] if len(rows) == count else None,
    )


def _score_line(row: Row) -> wire.ScoreLine:
    return wire.ScoreLine(
        id=row["id"],
        score_change=row["score_change"],
        score_after=row["score_after"],
        reason=row["reason"],
        created_at=row["created_at"],
        task_id=None if row["task_id"] is None else int(row["task_id"]),
    )


def list_votes(_parts: Parts, tx: Transaction, caller: Caller, order: wire.ListVotes, _now_ms: int) -> wire.VoteList:
    """One page of the votes on a scored task, for those who had a part in it."""
    found = tx.one(q.task_seen, id=order.task_id)
    task = None if found is None else Task.of(found)
    if task is None or not sees_all(tx, task, caller.hotkey):
        raise no_such_task(order.task_id)
    if task.status != "scored":
        raise Refusal(
            Code.INVALID_STATUS, f"Task {task.id} is {task.status}.", "Votes can be seen once a task is scored."
        )
    count = order.limit or LINES_UNASKED
    rows = tx.all(q.votes_of_task, task_id=task.id, after=order.cursor or 0, count=count)
    lines = tuple(vote_line(task, row) for row in rows)
    return wire.VoteList(task_id=task.id, votes=lines, next=lines[-1].id if len(lines) == count else None)


def sees_all(tx: Transaction, task: Task, hotkey: str) -> bool:
    """Whether this key sees everything of the task, or would if it were scored: it had a part in it."""
    place = place_in(tx, task, hotkey)
    if place is Place.VOTER:
        return tx.one(q.vote_of, task_id=task.id, voter=hotkey) is not None
    if place is Place.FORMER:
        has_answered = tx.one(q.completion_by, task_id=task.id, hotkey=hotkey) is not None
        return has_answered or tx.one(q.vote_of, task_id=task.id, voter=hotkey) is not None
    return place is not Place.STRANGER


def vote_line(task: Task, row: Row) -> wire.VoteLine:
    """A row of `votes` as it is shown."""
    return wire.VoteLine(
        id=row["id"],
        voter_hotkey=row["voter_hotkey"],
        chosen=side_of(task, row["chosen_completion_id"]),
        chosen_completion_id=row["chosen_completion_id"],
        weight=row["weight"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        against_completion_id=row["against_completion_id"],
    )
