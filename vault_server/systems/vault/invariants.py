"""What is always true of the vault's rows, whatever came before. `vault-server check` and the tests look here.

Nothing here depends on settings or on the time: both may have been others when a row was written.
"""

from __future__ import annotations

from collections.abc import Iterator

from vault_server.core.operation import Invariant, Query, Reader
from vault_server.storage.queries import load
from vault_server.systems.vault import rules

q = load(__package__, "invariants.sql")


def _never(name: str, query: Query, sentence: str) -> Invariant:
    """An invariant that each row of `query` breaks; `sentence` names the row."""

    def violations(reader: Reader) -> Iterator[str]:
        for row in reader.all(query):
            yield sentence.format_map({name: "none" if value is None else value for name, value in dict(row).items()})

    return Invariant(name, violations)


def _bands_follow_scores(reader: Reader) -> Iterator[str]:
    for row in reader.all(q.bands):
        right = rules.band(row["reputation_score"], row["valid_answers"])
        if row["band"] != right:
            yield f"solver {row['solver_id']} ranks in band {row['band']}, by its score in {right}"


INVARIANTS = [
    # counters
    _never(
        "solvers' counters are counts",
        q.hands_that_do_not_match,
        "solver {solver_id} has in_hand {in_hand}, tasks_taken {tasks_taken}, valid_answers {valid_answers}; "
        "its assignments say {found_in_hand}, {found_taken}, {found_valid}",
    ),
    _never(
        "clients' counters are counts",
        q.requests_that_do_not_match,
        "client {client_id} has open_tasks {open_tasks}, tasks_requested {tasks_requested}; "
        "its tasks say {found_open}, {found_requested}",
    ),
    _never(
        "tasks' counters are counts",
        q.assignments_that_do_not_match,
        "task {fingerprint} ({status}) has num_assignments {num_assignments}, num_returned {num_returned}; "
        "its assignments say {found_made}, {found_released}",
    ),
    # slots
    _never(
        "the slots of an open task hold its live assignments",
        q.slots_that_hold_something_else,
        "task {fingerprint} ({status}) has assignments {first_assignment_id} and {second_assignment_id} in its slots; "
        "live are {found_first} and {found_second}",
    ),
    _never(
        "a slot holds an assignment of its own task and number",
        q.slots_of_other_tasks,
        "task {fingerprint} holds assignment {db_key}, which is of task {task_id}, slot {slot}",
    ),
    _never(
        "a task's state agrees with its slots",
        q.states_that_do_not_match_slots,
        "task {fingerprint} is {status} with {open_slots} open slots, against what its slots hold",
    ),
    _never("one live assignment a slot", q.two_in_one_slot, "task {task_id} has {number} live ones in slot {slot}"),
    # who
    _never(
        "nobody is asked twice for one task",
        q.the_same_solver_twice,
        "solver {solver_id} has {number} assignments of task {task_id}",
    ),
    _never(
        "nobody works on a task of its own",
        q.work_for_oneself,
        "assignment {db_key} of task {task_id} went to its own client {solver_id}",
    ),
    # what goes on
    _never(
        "nobody works on a task that has ended",
        q.work_for_ended_tasks,
        "assignment {db_key} is {status}, and its task {task_id} is {task_status}",
    ),
    _never(
        "an assignment names its task the same way twice",
        q.assignments_of_another_key,
        "assignment {db_key} has the task_key of another task than {task_id}",
    ),
    _never(
        "an open task waits for somebody",
        q.tasks_that_wait_for_nothing,
        "task {fingerprint} is {status}, nobody works on it and nobody may be asked",
    ),
    _never(
        "whoever works has a deadline",
        q.work_without_a_deadline,
        "assignment {db_key} of task {task_id} is to end at {deadline}; its deadline row says {due}",
    ),
    _never(
        "an assignment's deadline is about live work",
        q.deadlines_without_work,
        "a deadline waits to expire assignment {subject}, which nobody works on",
    ),
    _never(
        "whoever works has its request",
        q.work_without_a_request,
        "assignment {db_key} of task {task_id} has no tlp_request in the outbox for solver {solver_id}",
    ),
    _never(
        "a request is about live work",
        q.requests_without_work,
        "outbox row {seq} offers assignment {subject}, which has ended",
    ),
    _never(
        "an answered task will settle",
        q.answers_that_never_settle,
        "task {fingerprint} is answered and has no deadline to settle",
    ),
    _never(
        "what is to settle is answered",
        q.settlements_without_an_answer,
        "a deadline waits to settle task {subject}, which is {status}",
    ),
    # columns
    _never(
        "a task's columns agree with its state",
        q.tasks_whose_columns_contradict,
        "task {fingerprint} is {status}, against its answer, its reason or answered_at",
    ),
    _never(
        "an assignment's columns agree with its state",
        q.assignments_whose_columns_contradict,
        "assignment {db_key} of task {task_id} is {status}, against its times or its answer",
    ),
    _never(
        "an answer was judged as its task is judged",
        q.judgements_that_do_not_match,
        "task {fingerprint} was answered by judgement {judged_by}, and no assignment of it bears that out",
    ),
    _never(
        "an answer judged by proof has the proof that held",
        q.proofs_that_do_not_match,
        "task {fingerprint} was answered by judgement {judged_by}, against the proof it names",
    ),
    _never(
        "a proof belongs to an answer, and its verdict to both",
        q.proofs_without_an_answer,
        "the proof of assignment {assignment_id} is {status}, against its assignment",
    ),
    _never(
        "solvers hold no more than they announced",
        q.solvers_beyond_their_means,
        "solver {solver_id} has capacity {capacity} of {announced} announced, good {good}, bad {bad}",
    ),
    # standing
    Invariant("bands follow scores", _bands_follow_scores),
    _never(
        "a score is 50 and its history",
        q.scores_without_history,
        "{standing} {fingerprint} has the score {score}; its history says {found}",
    ),
    # relayed checkpoints
    _never(
        "a checkpoint is kept for an open task alone",
        q.checkpoints_of_ended_tasks,
        "task {task_id} is {status}, and a checkpoint of its assignment {assignment_id} is kept",
    ),
    _never(
        "a checkpoint belongs to its assignment",
        q.checkpoints_of_others,
        "the checkpoint of assignment {assignment_id} names another task or solver",
    ),
    _never(
        "a checkpoint that is handed on is there, and checked",
        q.offers_without_a_checkpoint,
        "outbox row {seq} offers a checkpoint for assignment {subject}, which has none that is checked or has ended",
    ),
    # complaints
    _never(
        "a complaint's columns agree with its state",
        q.complaints_that_contradict,
        "complaint {id} of task {task_id} is {status}, against its times, its ruling or its kind",
    ),
    _never(
        "an open complaint will be ruled",
        q.complaints_nobody_will_rule,
        "complaint {id} of task {task_id} is {status}, with no deadline and no factor",
    ),
    _never(
        "a complaint is about its own task's assignments",
        q.complaints_about_other_tasks,
        "complaint {id} of task {task_id} names assignment {db_key} of another task",
    ),
    _never(
        "a complaint is the client's own",
        q.complaints_of_strangers,
        "complaint {id} is by somebody else than the client of task {task_id}",
    ),
    _never(
        "no task settles over a complaint",
        q.settled_over_a_complaint,
        "task {task_id} is settled, and complaint {id} has no ruling",
    ),
]
