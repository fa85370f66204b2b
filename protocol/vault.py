"""The vault's messages (seed 000 §4), client's and solver's endpoint.

A puzzle asks for y = baseg^(2^t) mod product. Names of the seed in snake case: `tlp`, `tlp_request`, `tlp_response`,
`status_update`. `tlp_response` and `progress` exist in both directions with different fields: the catalogue keeps one
list per direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from protocol.envelope import Kind, Message, message
from protocol.fields import FINGERPRINT, MILLISECONDS, Choice, Counts, Integer, Natural, Number, Octets, Text
from protocol.records import Record, Records, record

CLIENT_PATH = "/client"
SOLVER_PATH = "/solver"

MODULUS_BYTES_MAX = 1024
"""What a frame may carry; `modulus_bits_max` of the server is lower and is in `welcome`."""

TASK = FINGERPRINT
ASSIGNMENT = Integer(minimum=1)
BIG = Natural(MODULUS_BYTES_MAX)
SQUARINGS = Integer(minimum=-(2**53 - 1))
"""Any integer travels, so that a t out of range is refused by its own code and not as a wrong type."""

TASK_STATUSES = ("waiting", "assigned", "answered", "settled", "cancelled", "failed")
JUDGEMENTS = ("computed", "commitment", "proof", "agreed")
"""How an answer was judged: by computing it, by the client's commitment, by its proof, by two solvers agreeing."""
PROOF_WISHES = ("required", "none")
PROOF_BYTES_MAX = 46_081
"""Room for every proof there can be: 44 rounds modulo the largest product that travels."""
CHECKPOINT_DEPTH_MAX = 15
"""Of a plan: 2^15 residues of 64 bits are as many bytes as a checkpoint may have."""
CHECKPOINT_PART_BYTES_MAX = 28_672
"""Residues in one `checkpoint`: 112 of 2048 bits. As hex they still fit into a frame."""
CHECKPOINT_BYTES_MAX = 2**18
"""Residues of one whole checkpoint: 1,024 of 2048 bits."""
SOLVER_STATES = ("ready", "paused", "draining")
TASK_LINES_MAX = 100
"""Lines of one `task_list`."""
COMPLAINT_KINDS = ("late", "no_answer", "wrong_answer")
RULINGS = ("upheld", "rejected", "undecided")
COMPLAINT_STATUSES = ("open", "asked", *RULINGS)
COMPLAINT_RESPONSES = ("stands_by", "withdraws")
COMPLAINT = Integer(minimum=1)
SENTENCE = Text(length_max=200)
SCORE = Number(maximum=100.0)
STANDINGS = ("solver", "client", "participant")


# client -> server


@message("tlp", Kind.REQUEST)
class SubmitPuzzle(Message):
    """Ask for y = baseg^(2^t) mod product. Answered by `tlp_accepted`; the answer follows as a push.

    `proof` is `required` unless you say `none`: then the agreement of two solvers may be all that stands behind y.
    """

    t: Annotated[int, SQUARINGS]
    baseg: Annotated[int, BIG]
    product: Annotated[int, BIG]
    commitment: Annotated[bytes, Octets(32, 32)] | None = None
    proof: Annotated[str, Choice(PROOF_WISHES)] | None = None
    idempotency_key: Annotated[str, Text(length_max=64, length_min=1)] | None = None


@message("task_status", Kind.REQUEST)
class AskStatus(Message):
    """Ask how one of your tasks stands. Answered by `task_state`."""

    task: Annotated[str, TASK]


@message("cancel", Kind.REQUEST)
class CancelTask(Message):
    """Give up a task that has no answer yet. Answered by `task_cancelled`."""

    task: Annotated[str, TASK]


@message("complaint", Kind.REQUEST)
class Complain(Message):
    """Say what is wrong with a task of yours, until its complaint deadline. Answered by `complaint_taken`.

    With `wrong_answer` a prime `factor` of product may be revealed: it settles the matter for good.
    """

    task: Annotated[str, TASK]
    kind: Annotated[str, Choice(COMPLAINT_KINDS)]
    factor: Annotated[int, BIG] | None = None


@message("list_tasks", Kind.REQUEST)
class ListTasks(Message):
    """Ask for your tasks, the newest first: those in `status`, older than the task `before`, at most `limit` (50).

    Answered by `task_list`.
    """

    status: Annotated[str, Choice(TASK_STATUSES)] | None = None
    before: Annotated[str, TASK] | None = None
    limit: Annotated[int, Integer(1, TASK_LINES_MAX)] | None = None


# server -> client


@message("tlp_accepted", Kind.REPLY)
class PuzzleAccepted(Message):
    """The puzzle is on disk. `effort_seconds` is the estimate on the reference machine, `promised_by` a time in ms."""

    task: Annotated[str, TASK]
    difficulty: Annotated[float, Number()]
    effort_seconds: Annotated[float, Number()]
    assigned: Annotated[int, Integer(0, 2)]
    promised_by: Annotated[int, MILLISECONDS] | None = None


@message("task_state", Kind.REPLY)
class TaskState(Message):
    """How a task stands now; `answer` and `judged_by` once it has been answered, `reason` once it has failed.

    With a `proof` goes the fingerprint of the `solver` that it names. Complaints are heard until `complaint_deadline`,
    which is there once the task has its answer or has failed.
    """

    task: Annotated[str, TASK]
    status: Annotated[str, Choice(TASK_STATUSES)]
    assigned: Annotated[int, Integer(0, 2)]
    num_assignments: Annotated[int, Integer()]
    created: Annotated[int, MILLISECONDS]
    promised_by: Annotated[int, MILLISECONDS] | None = None
    answer: Annotated[int, BIG] | None = None
    judged_by: Annotated[str, Choice(JUDGEMENTS)] | None = None
    reason: Annotated[str, Text(length_max=200)] | None = None
    complaint_deadline: Annotated[int, MILLISECONDS] | None = None
    proof: Annotated[bytes, Octets(1, PROOF_BYTES_MAX)] | None = None
    solver: Annotated[str, FINGERPRINT] | None = None


@record
class TaskLine(Record):
    """One task in a list: as `task_state`, without its answer."""

    task: Annotated[str, TASK]
    status: Annotated[str, Choice(TASK_STATUSES)]
    created: Annotated[int, MILLISECONDS]
    num_assignments: Annotated[int, Integer()]
    promised_by: Annotated[int, MILLISECONDS] | None = None
    judged_by: Annotated[str, Choice(JUDGEMENTS)] | None = None
    complaint_deadline: Annotated[int, MILLISECONDS] | None = None


@message("task_list", Kind.REPLY)
class TaskList(Message):
    """Your tasks, the newest first. With `next` there may be more: ask again with it as `before`."""

    tasks: Annotated[Sequence[TaskLine], Records(TaskLine, TASK_LINES_MAX, extensible=True)]
    next: Annotated[str, TASK] | None = None


@message("task_cancelled", Kind.REPLY)
class TaskCancelled(Message):
    """The task is cancelled; its solvers are told."""

    task: Annotated[str, TASK]


@message("tlp_response", Kind.PUSH)
class PuzzleAnswered(Message):
    """The answer to your task, and how it was judged. With a `proof` goes the fingerprint of the `solver` it names."""

    task: Annotated[str, TASK]
    answer: Annotated[int, BIG]
    judged_by: Annotated[str, Choice(JUDGEMENTS)]
    proof: Annotated[bytes, Octets(1, PROOF_BYTES_MAX)] | None = None
    solver: Annotated[str, FINGERPRINT] | None = None


@message("task_failed", Kind.PUSH)
class TaskFailed(Message):
    """Your task has ended without an answer; `reason` says why in a sentence."""

    task: Annotated[str, TASK]
    reason: Annotated[str, Text(length_max=200)]


@message("complaint_taken", Kind.REPLY)
class ComplaintTaken(Message):
    """The complaint is on disk. The ruling follows as the push `complaint_ruled`: at
    `ruling_by` at the latest, or, where that is absent, now or as soon as the judges get to it."""

    complaint: Annotated[int, COMPLAINT]
    task: Annotated[str, TASK]
    status: Annotated[str, Choice(COMPLAINT_STATUSES)]
    ruling_by: Annotated[int, MILLISECONDS] | None = None


@message("progress", Kind.SIGNAL)
class TaskProgress(Message):
    """A solver of your task has done `done` of `total` squarings; when two report, the larger counts. Not durable."""

    task: Annotated[str, TASK]
    done: Annotated[int, Integer()]
    total: Annotated[int, Integer()]


# solver -> server


@message("status_update", Kind.REQUEST)
class UpdateStatus(Message):
    """What this solver offers: `capacity` tasks at once, `speeds` as squarings a second by modulus bits ("2048").

    Declares the sizes it takes: any modulus up to its largest size in `speeds`. Answered by `status_updated`.
    """

    state: Annotated[str, Choice(SOLVER_STATES)]
    capacity: Annotated[int, Integer(0, 1024)]
    speeds: Annotated[dict[str, int], Counts(entries_max=16, key_length_max=5)]


@message("accept", Kind.REQUEST)
class AcceptAssignment(Message):
    """Take the assignment that `tlp_request` offered; also acknowledges that push. Answered by `accepted`."""

    assignment: Annotated[int, ASSIGNMENT]


@message("progress", Kind.SIGNAL)
class ReportProgress(Message):
    """`done` squarings of this assignment are behind us. Send one a second at most."""

    assignment: Annotated[int, ASSIGNMENT]
    done: Annotated[int, Integer()]


@message("tlp_response", Kind.REQUEST)
class SubmitAnswer(Message):
    """The y of this assignment, with its proof where `tlp_request` requires one. Answered by `answer_taken`."""

    assignment: Annotated[int, ASSIGNMENT]
    answer: Annotated[int, BIG]
    proof: Annotated[bytes, Octets(1, PROOF_BYTES_MAX)] | None = None


@message("return", Kind.REQUEST)
class ReturnAssignment(Message):
    """Hand an assignment back before its deadline, without blame. Answered by `returned`."""

    assignment: Annotated[int, ASSIGNMENT]


@message("checkpoint", Kind.REQUEST)
class RelayCheckpoint(Message):
    """Let a successor go on from where you are: the residues at the places of a proof's plan, from place `first` on.

    `depth` is the plan's (protocol.md §14); residues have the length of product. Answered by `checkpoint_taken`.
    """

    assignment: Annotated[int, ASSIGNMENT]
    depth: Annotated[int, Integer(0, CHECKPOINT_DEPTH_MAX)]
    first: Annotated[int, Integer()]
    residues: Annotated[bytes, Octets(1, CHECKPOINT_PART_BYTES_MAX)]


@message("complaint_response", Kind.REQUEST)
class RespondToComplaint(Message):
    """Your word on a complaint about an answer of yours, until its `respond_by`. Answered by `complaint_heard`.

    `withdraws` admits that the answer is wrong. A `proof` may go with `stands_by`: it settles the matter.
    """

    complaint: Annotated[int, COMPLAINT]
    assignment: Annotated[int, ASSIGNMENT]
    response: Annotated[str, Choice(COMPLAINT_RESPONSES)]
    proof: Annotated[bytes, Octets(1, PROOF_BYTES_MAX)] | None = None


# server -> solver


@message("status_updated", Kind.REPLY)
class StatusUpdated(Message):
    """What the server counts with: at most `capacity` tasks at once, `holding` of them in hand now."""

    capacity: Annotated[int, Integer()]
    holding: Annotated[int, Integer()]


@message("tlp_request", Kind.PUSH)
class PuzzleOffered(Message):
    """Work: compute baseg^(2^t) mod product by `deadline`, and prove it where a proof is required. Names no client."""

    assignment: Annotated[int, ASSIGNMENT]
    task: Annotated[str, TASK]
    t: Annotated[int, Integer(minimum=1)]
    baseg: Annotated[int, BIG]
    product: Annotated[int, BIG]
    deadline: Annotated[int, MILLISECONDS]
    proof: Annotated[str, Choice(PROOF_WISHES)]


@message("accepted", Kind.REPLY)
class AssignmentAccepted(Message):
    """The assignment is yours until `deadline`."""

    assignment: Annotated[int, ASSIGNMENT]
    deadline: Annotated[int, MILLISECONDS]


@message("answer_taken", Kind.REPLY)
class AnswerTaken(Message):
    """The answer is on disk. `verdict` is `pending` while it waits to be judged."""

    assignment: Annotated[int, ASSIGNMENT]
    verdict: Annotated[str, Choice(("valid", "invalid", "unproved", "pending"))]


@message("returned", Kind.REPLY)
class AssignmentReturned(Message):
    """The slot is free again."""

    assignment: Annotated[int, ASSIGNMENT]


@message("assignment_ended", Kind.PUSH)
class AssignmentEnded(Message):
    """Stop working on this: it was judged later than its reply, was released without blame, or has expired.

    One that was released because another was first may still be answered, with a proof, until `late_until`: that counts
    as good.
    """

    assignment: Annotated[int, ASSIGNMENT]
    outcome: Annotated[str, Choice(("valid", "invalid", "unproved", "released", "expired"))]
    late_until: Annotated[int, MILLISECONDS] | None = None


@message("checkpoint_taken", Kind.REPLY)
class CheckpointTaken(Message):
    """The server holds `count` residues of this assignment: go on from place `count`, not before `next_at`."""

    assignment: Annotated[int, ASSIGNMENT]
    count: Annotated[int, Integer()]
    next_at: Annotated[int, MILLISECONDS]


@message("checkpoint_offered", Kind.PUSH)
class CheckpointOffered(Message):
    """Go on from here if you have not come further: the first residues of the plan of this `depth`, all checked."""

    assignment: Annotated[int, ASSIGNMENT]
    depth: Annotated[int, Integer(0, CHECKPOINT_DEPTH_MAX)]
    residues: Annotated[bytes, Octets(1, CHECKPOINT_BYTES_MAX)]


@message("complaint_raised", Kind.PUSH)
class ComplaintRaised(Message):
    """The client of this assignment's task complains; respond with `complaint_response` until `respond_by`."""

    complaint: Annotated[int, COMPLAINT]
    assignment: Annotated[int, ASSIGNMENT]
    kind: Annotated[str, Choice(COMPLAINT_KINDS)]
    respond_by: Annotated[int, MILLISECONDS]


@message("complaint_heard", Kind.REPLY)
class ComplaintHeard(Message):
    """Your response is on disk; the ruling follows as a push."""

    complaint: Annotated[int, COMPLAINT]
    response: Annotated[str, Choice(COMPLAINT_RESPONSES)]


# server -> both


@message("complaint_ruled", Kind.PUSH)
class ComplaintRuled(Message):
    """What became of a complaint, and why. A solver's names its own `assignment`."""

    complaint: Annotated[int, COMPLAINT]
    task: Annotated[str, TASK]
    kind: Annotated[str, Choice(COMPLAINT_KINDS)]
    ruling: Annotated[str, Choice(RULINGS)]
    reason: Annotated[str, SENTENCE]
    assignment: Annotated[int, ASSIGNMENT] | None = None


@message("standing_changed", Kind.PUSH)
class StandingChanged(Message):
    """Your reputation has moved by `score_change` to `reputation_score`, 0 to 100 from 50.

    The vault names its `task`, the subnet its `task_id`.
    """

    standing: Annotated[str, Choice(STANDINGS)]
    reputation_score: Annotated[float, SCORE]
    score_change: Annotated[float, Number(minimum=-100.0, maximum=100.0)]
    reason: Annotated[str, SENTENCE]
    task: Annotated[str, TASK] | None = None
    task_id: Annotated[int, Integer(minimum=1)] | None = None
