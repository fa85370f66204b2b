"""Blind votes, and what they come to: asking, casting, counting (seed 001, Votes and Score History).

A voter knows the two completions as `a` and `b`, in an order that is his own, and nothing else of them.
"""

from __future__ import annotations

from protocol import json_text
from protocol import subnet as wire
from protocol.errors import Code
from vault_server.core.operation import Caller, Refusal, Row, Transaction, log
from vault_server.exchange import standing
from vault_server.exchange.standing import Standing
from vault_server.systems.subnet import rules
from vault_server.systems.subnet.places import PARTIES, Place, place_in
from vault_server.systems.subnet.records import Completions, Parts, Task, no_such_task, q, task_to_decide
from vault_server.systems.subnet.rules import Change, CountedVote
from vault_server.systems.subnet.states import TASK


def ask_present(parts: Parts, tx: Transaction, task_id: int, now_ms: int) -> int:
    """Ask whoever judges and is there, those with the least to judge first; how many were asked."""
    return tx.run(
        q.ask_voters,
        task_id=task_id,
        asks_max=parts.settings.subnet_asks_max,
        voters_max=parts.settings.subnet_voters_max,
        now=now_ms,
    )


def ask_again(parts: Parts, tx: Transaction, caller: Caller, room: int, now_ms: int) -> None:
    """Ask one who has come for what is still open, the oldest first, as far as he has room."""
    if room > 0:
        tx.run(q.ask_voter, hotkey=caller.hotkey, voters_max=parts.settings.subnet_voters_max, count=room, now=now_ms)


def vote(parts: Parts, tx: Transaction, caller: Caller, order: wire.Vote, now_ms: int) -> wire.VoteTaken:
    """Cast or replace the caller's vote; the last one that is waited for settles the task."""
    if order.against == order.chosen:
        raise Refusal(
            Code.BAD_FIELD,
            "Fields 'chosen' and 'against' name the same completion.",
            "Send the other label as 'against', or leave it out.",
        )
    task = task_to_decide(tx, order.task_id)
    closes_at = _check_voter(tx, task, caller, now_ms)
    weighed = _cast(parts, tx, task, caller, order, now_ms)
    if tx.one(q.awaited_voter, task_id=task.id) is None:
        _settle_early(parts, tx, task, now_ms)
    return wire.VoteTaken(task_id=task.id, chosen=order.chosen, weight=weighed, voting_closes_at=closes_at)


def _check_voter(tx: Transaction, task: Task, caller: Caller, now_ms: int) -> int:
    """Until when the voting is open to the caller. Raises Refusal."""
    place = place_in(tx, task, caller.hotkey)
    if place in PARTIES:
        raise Refusal(
            Code.SELF_VOTE,
            f"You have a part in task {task.id}.",
            "Its validator, its miner and those who help him do not judge it; judge others.",
        )
    row = tx.one(q.participant, hotkey=caller.hotkey)
    if task.submitted_at is None or task.voting_closes_at is None or row is None:
        raise no_such_task(task.id)
    if place is Place.STRANGER and row["registered_at"] >= task.submitted_at:
        raise Refusal(
            Code.NOT_REGISTERED,
            f"You did not take part yet when task {task.id} was answered.",
            "Judge tasks that are answered from now on.",
        )
    if task.status != "submitted" or now_ms >= task.voting_closes_at:
        raise Refusal(
            Code.VOTING_CLOSED,
            f"The voting on task {task.id} is over.",
            "Vote before voting_closes_at; once all who are there have voted it closes sooner.",
        )
    assert place is Place.VOTER, f"{caller.fingerprint} may judge task {task.id}, against the view subnet_voters"
    return task.voting_closes_at


def _cast(parts: Parts, tx: Transaction, task: Task, caller: Caller, order: wire.Vote, now_ms: int) -> float:
    """Write the vote by the server's own weight; what it weighs."""
    completions = Completions.of(task, list(tx.all(q.completions_of_task, task_id=task.id)))
    assert completions.miner_id is not None, f"task {task.id} is judged and has no answer"
    is_for_reference = order.chosen == parts.reference_label(task.id, caller.hotkey)
    both = (completions.validator_id, completions.miner_id)
    chosen, against = both if is_for_reference else both[::-1]
    voter = tx.one(q.lock_participant, hotkey=caller.hotkey)
    assert voter is not None, "who may vote takes part"
    weighed = rules.weight(voter["reputation_score"])
    earlier = tx.one(q.vote_of, task_id=task.id, voter=caller.hotkey)
    tx.run(
        q.cast_vote if earlier is None else q.change_vote,
        task_id=task.id,
        voter=caller.hotkey,
        chosen=chosen,
        against=None if order.against is None else against,
        weight=weighed,
        now=now_ms,
    )
    log(tx, "subnet.vote_cast", subnet_task=task.id, voter=caller.fingerprint, replaces=earlier is not None)
    return weighed


def _settle_early(parts: Parts, tx: Transaction, task: Task, now_ms: int) -> None:
    """Nobody who may judge it and is there has to say anything more."""
    votes = tx.all(q.votes_to_count, task_id=task.id)
    if len(votes) >= parts.settings.subnet_votes_min:
        settle(parts, tx, task, now_ms)


def settle(parts: Parts, tx: Transaction, task: Task, now_ms: int) -> None:
    """Count the votes, once: the status it leaves guards it. Moves reputations, and tells all who had a part."""
    votes = [_counted(task, row) for row in tx.all(q.votes_to_count, task_id=task.id)]
    changes = _changes(parts, tx, task, votes)
    changed = tx.run(
        q.score_task, id=task.id, status=TASK.after(task.status, "settle"), now=now_ms, expected=task.status
    )
    assert changed == 1, f"task {task.id} is no longer {task.status}"
    for change in changes:
        move(tx, change.hotkey, change.amount, change.reason, task.id, now_ms)
    tx.run(q.tell_scored, task_id=task.id, subject=str(task.id), now=now_ms)
    reason = "no votes" if not votes else "too few votes" if len(votes) < parts.settings.subnet_votes_min else None
    log(tx, "subnet.task_scored", subnet_task=task.id, votes=len(votes), changes=len(changes), reason=reason)


def _counted(task: Task, row: Row) -> CountedVote:
    return CountedVote(row["voter_hotkey"], row["weight"], side_of(task, row["chosen_completion_id"]))


def side_of(task: Task, completion_id: int) -> str:
    """Whose completion it is: `validator` or `miner`."""
    return "validator" if completion_id == task.reference_id else "miner"


def _changes(parts: Parts, tx: Transaction, task: Task, votes: list[CountedVote]) -> list[Change]:
    completions = Completions.of(task, list(tx.all(q.completions_of_task, task_id=task.id)))
    settings = parts.settings
    silent: list[str] = []
    if settings.subnet_no_vote_penalty_total:
        silent = [row["hotkey"] for row in tx.all(q.silent_voters, subject=str(task.id))]
    return rules.settle(
        votes,
        miner=task.miner,
        author=completions.author or task.miner,
        negative=rules.negative_of(json_text.read(task.metadata)),
        scale=settings.subnet_score_scale,
        votes_min=settings.subnet_votes_min,
        silent=silent,
        no_vote_total=settings.subnet_no_vote_penalty_total,
    )


def move(tx: Transaction, hotkey: str, amount: float, reason: str, task_id: int | None, now_ms: int) -> None:
    """Move a participant's reputation; what is applied keeps it within 0 and 100. Nothing for a key unknown here."""
    row = tx.one(q.lock_participant, hotkey=hotkey)
    if row is None:
        return
    standing.move(
        tx,
        Standing.PARTICIPANT,
        row["fingerprint"],
        old=row["reputation_score"],
        new=row["reputation_score"] + amount,
        reason=reason,
        task=None if task_id is None else str(task_id),
        now_ms=now_ms,
    )
