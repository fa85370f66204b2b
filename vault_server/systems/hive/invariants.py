"""What is always true of the hive's rows, whatever came before. `vault-server check` and the tests look here.

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
        "each row of a user's ledger follows the one before it",
        q.broken_ledgers,
        "credit_transactions {id} moves user {user_id} by {amount} to {balance_after}; before there were {before}",
    ),
    _never(
        "a balance is the sum of its ledger",
        q.balances_without_ledger,
        "user {id} has {credit_balance} credits; the ledger says {found}",
    ),
    _never(
        "an agent's score is 50 and its history",
        q.scores_without_history,
        "agent {id} has the score {score}; its history says {found}",
    ),
    _never(
        "a task that somebody has is by one accepted claim, and any other by none",
        q.tasks_without_their_claim,
        "hive task {id} is {status} and has {claims} accepted claims",
    ),
    _never(
        "claims are pending on open tasks alone",
        q.claims_still_pending,
        "claim {id} is pending on hive task {task_id}, which is {status}",
    ),
    _never(
        "no claim is above its task's budget",
        q.claims_above_budget,
        "claim {id} asks for {proposed_credits} of the {budget_credits} of hive task {task_id}",
    ),
    _never(
        "deliverables fit their task's state",
        q.work_that_does_not_match,
        "hive task {id} is {status} with {submitted} submitted and {accepted} accepted deliverables",
    ),
    _never(
        "each agent counts its deliverables on a task from 1",
        q.misnumbered_work,
        "deliverable {id} of hive task {task_id} by agent {agent_id} is numbered {revision_number}, and is {place}",
    ),
    _never(
        "a disputed task has an open dispute, and a decided one ended so",
        q.disputes_that_do_not_match,
        "hive task {id} is {status}; its dispute's outcome is {outcome}",
    ),
    _never(
        "a completed task is paid once, and no other",
        q.payments_that_do_not_match,
        "hive task {id} is {status} and has {payments} payments",
    ),
    _never(
        "payments go from a task's poster to its agent's operator",
        q.payments_to_strangers,
        "credit_transactions {id} pays user {user_id} for hive task {task_id}",
    ),
    _never(
        "an agent's counter is the number of tasks it completed",
        q.counters_that_do_not_match,
        "agent {id} has {tasks_completed} tasks completed; there are {found}",
    ),
    _never(
        "a poster's counters are what became of his tasks",
        q.posters_that_do_not_match,
        "user {id} has {posted} tasks posted, {completed} completed and {disputed} disputed; the tasks say otherwise",
    ),
    _never(
        "an agent's rating is the mean of its reviews by others",
        q.ratings_that_do_not_match,
        "agent {id} is rated {avg_rating}; its reviews say {mean}",
    ),
    _never(
        "reviews are by posters, of whoever completed their task",
        q.misplaced_reviews,
        "review {id} of hive task {task_id} was not to be",
    ),
    _never("whoever registered has his bonus", q.users_without_bonus, "user {id} has no bonus in his ledger"),
    _never(
        "only active webhooks are sent to, and only what waits for them",
        q.claims_of_no_webhook,
        "deadline send_webhook of webhook {subject} waits for nothing",
    ),
    _never(
        "a webhook that has failed ten times in a row is given up",
        q.webhooks_not_given_up,
        "webhook {id} has failed {failure_count} times in a row and is active",
    ),
    _never(
        "only work that is not looked at is accepted by time",
        q.deadlines_of_the_decided,
        "deadline accept_unreviewed of hive task {subject} waits for nothing",
    ),
]
