"""What is always true of the subnet's rows, whatever came before. `vault-server check` and the tests look here.

Nothing here depends on settings or on the time: both may have been others when a row was written.
"""

from __future__ import annotations

from collections.abc import Iterator

from vault_server.core.operation import Invariant, Query, Reader
from vault_server.storage.queries import load

q = load(__package__, "invariants.sql")


def _never(name: str, query: Query, sentence: str) -> Invariant:
    """An invariant that each row of `query` breaks; `sentence` names the row."""

    def violations(reader: Reader) -> Iterator[str]:
        for row in reader.all(query):
            yield sentence.format_map({name: "none" if value is None else value for name, value in dict(row).items()})

    return Invariant(name, violations)


INVARIANTS = [
    _never(
        "a subnet task refers to its own validator's completion",
        q.references_of_others,
        "subnet task {id} refers to completion {validator_completion_id}, which is not its validator's",
    ),
    _never(
        "a subnet task has one answer once it is submitted, and none before",
        q.answers_that_do_not_match,
        "subnet task {id} is {status} and has {answers} answers",
    ),
    _never(
        "answers are by the miner or who has helped one",
        q.strangers_answers,
        "completion {id} of subnet task {task_id} is by {hotkey}, who is neither its miner nor a contributor",
    ),
    _never(
        "answers came in time",
        q.late_answers,
        "completion {id} of subnet task {task_id} came after its end, or not when it was submitted",
    ),
    _never(
        "nobody judges a task of his own",
        q.votes_of_parties,
        "vote {id} on subnet task {task_id} is by {voter_hotkey}, who has a part in it",
    ),
    _never(
        "voters took part before the task was answered, and voted in time",
        q.votes_of_latecomers,
        "vote {id} on subnet task {task_id} by {voter_hotkey} was not to be",
    ),
    _never(
        "a subnet task that is not finished has a deadline",
        q.unfinished_without_deadline,
        "subnet task {id} is {status} until {expire_at} or {voting_closes_at}; its deadline row says {due}",
    ),
    _never(
        "a deadline of the subnet is about an unfinished task",
        q.deadlines_of_the_finished,
        "deadline {name} of subnet task {subject} waits for nothing",
    ),
    _never(
        "whoever may answer has a request",
        q.work_without_a_request,
        "subnet task {id} waits for {hotkey}, who has no task_assigned in the outbox",
    ),
    _never(
        "a request of the subnet is about an open task",
        q.requests_without_work,
        "outbox row {seq} ({kind}) asks {receiver} about subnet task {subject}, which is past that",
    ),
    _never(
        "nobody is asked for another's answer",
        q.requests_of_strangers,
        "outbox row {seq} gives subnet task {subject} to {hotkey}, who may not answer it",
    ),
    _never(
        "only those are asked to judge who may and have not",
        q.asks_of_those_who_may_not,
        "outbox row {seq} asks {hotkey} to judge subnet task {subject}",
    ),
    _never(
        "a participant's score is 50 and its history",
        q.scores_without_history,
        "participant {hotkey} has the score {score}; its history says {found}",
    ),
    _never(
        "a subnet task moves scores once it is scored or expired",
        q.scores_of_unscored_tasks,
        "score_history {id} ({reason}) is about subnet task {task_id}, which is neither",
    ),
    _never(
        "a subnet task is settled once",
        q.scored_twice,
        "subnet task {task_id} has moved the score of {hotkey} {number} times for {reason}",
    ),
    _never(
        "nobody contributes to himself",
        q.contributors_of_themselves,
        "the link of contributor {contributor_hotkey} cannot be",
    ),
]
