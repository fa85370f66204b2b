"""The subnet's messages (seed 001): a validator asks, one miner answers, its peers judge without knowing authors.

Ids are integers. JSON travels as a text (`protocol.json_text`). Nobody says who he is: that is the connection's key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from protocol.envelope import Kind, Message, message
from protocol.fields import FINGERPRINT, HOTKEY, MILLISECONDS, Choice, Flag, Integer, Number, Text, Word, Words
from protocol.json_text import JsonText
from protocol.records import Record, Records, record

SUBNET_PATH = "/subnet"

METADATA_BYTES_MAX = 64 * 1024
COMPLETION_BYTES_MAX = 256 * 1024
INLINE_BYTES_MAX = 16 * 1024
"""A push carries prompt and completions up to this size together; for more its receiver asks `get_task`."""
LINES_MAX = 100
"""Lines of one list."""

NEGATIVE_COMPLETION = "negative_completion"
"""The private key of `task_metadata`: which completion its validator knows to be bad. Shown to nobody else before the
task is scored."""
SIDES = ("validator", "miner")

TASK_ID = Integer(minimum=1)
METADATA = JsonText(METADATA_BYTES_MAX, only_object=True)
PROMPT = JsonText(METADATA_BYTES_MAX)
COMPLETION = JsonText(COMPLETION_BYTES_MAX)
TASK_TYPE = Word(64)
TASK_STATUSES = ("assigned", "submitted", "expired", "scored", "cancelled")
LABELS = ("a", "b")
LIST_ROLES = ("validator", "miner", "contributor", "voter")
ROLES = ("validator", "generator", "discriminator", "contributor")
CURSOR = Integer(minimum=1)
LIMIT = Integer(1, LINES_MAX)
SCORE = Number(maximum=100.0)
SCORE_CHANGE = Number(minimum=-100.0, maximum=100.0)
WEIGHT = Number(maximum=1.0)
REASON = Text(length_max=200)


# participant -> server


@message("register", Kind.REQUEST)
class Register(Message):
    """Take part. `mining`: give me tasks while I am connected; `judging`: ask me for votes.

    Without either you are there for both; with one, the other stays as it was. Repeat it as you like: with `judging`
    you are asked again for what is open. Answered by `registered`.
    """

    mining: Annotated[bool, Flag()] | None = None
    judging: Annotated[bool, Flag()] | None = None


@message("create_task", Kind.REQUEST)
class CreateTask(Message):
    """Have one miner answer, and its peers judge that answer against yours.

    By convention `task_metadata` has a `prompt`: that is what voters see of it, or all of it where it has none. Its
    `negative_completion` (`validator` or `miner`) says which completion you know to be bad. `expire_at` is six hours
    from now unless you say; without `assigned_miner_hotkey` the server picks. Answered by `task_created`.
    """

    task_type: Annotated[str, TASK_TYPE]
    task_metadata: Annotated[str, METADATA]
    validator_completion: Annotated[str, COMPLETION]
    expire_at: Annotated[int, MILLISECONDS] | None = None
    assigned_miner_hotkey: Annotated[str, HOTKEY] | None = None
    idempotency_key: Annotated[str, Text(length_max=64, length_min=1)] | None = None


@message("cancel_task", Kind.REQUEST)
class CancelTask(Message):
    """Withdraw a task of yours that nobody has answered yet. Answered by `cancelled`."""

    task_id: Annotated[int, TASK_ID]


@message("list_subnet_tasks", Kind.REQUEST)
class ListTasks(Message):
    """Ask for tasks, the newest first: those you validate, answer, help to answer, or may judge or have judged.

    Only those in `status`, those older than `cursor`, at most `limit` (50). Answered by `subnet_task_list`.
    """

    role: Annotated[str, Choice(LIST_ROLES)]
    status: Annotated[str, Choice(TASK_STATUSES)] | None = None
    cursor: Annotated[int, CURSOR] | None = None
    limit: Annotated[int, LIMIT] | None = None


@message("get_task", Kind.REQUEST)
class GetTask(Message):
    """Ask for a task as you may see it. Answered by `subnet_task`."""

    task_id: Annotated[int, TASK_ID]


@message("submit_completion", Kind.REQUEST)
class SubmitCompletion(Message):
    """Answer a task assigned to you, or to the miner you help. There is one answer, and no editing it.

    Answered by `completion_taken`.
    """

    task_id: Annotated[int, TASK_ID]
    completion: Annotated[str, COMPLETION]


@message("vote", Kind.REQUEST)
class Vote(Message):
    """Say which of the two completions is better, by the label under which it was shown to you.

    `against` is the other one, or absent. A second vote before the close replaces the first. Answered by `vote_taken`.
    """

    task_id: Annotated[int, TASK_ID]
    chosen: Annotated[str, Choice(LABELS)]
    against: Annotated[str, Choice(LABELS)] | None = None


@message("add_contributor", Kind.REQUEST)
class AddContributor(Message):
    """Let somebody see and answer your tasks as a miner. A key helps one miner. Answered by `contributor_added`."""

    contributor_hotkey: Annotated[str, HOTKEY]


@message("revoke_contributor", Kind.REQUEST)
class RevokeContributor(Message):
    """Let a contributor of yours see and answer nothing any more, at once. Answered by `contributor_removed`."""

    contributor_hotkey: Annotated[str, HOTKEY]


@message("leave_miner", Kind.REQUEST)
class LeaveMiner(Message):
    """Stop contributing to the miner you help. Answered by `contributor_removed`."""


@message("list_contributors", Kind.REQUEST)
class ListContributors(Message):
    """Ask who helps you as a miner, the active ones first, and whom you help. Answered by `contributor_list`."""


@message("get_participant", Kind.REQUEST)
class GetParticipant(Message):
    """Ask about a participant; without `hotkey` about yourself. Answered by `participant`."""

    hotkey: Annotated[str, HOTKEY] | None = None


@message("score_history", Kind.REQUEST)
class AskScoreHistory(Message):
    """Ask how a participant's reputation came about, the newest change first; without `hotkey` your own.

    Answered by `score_changes`.
    """

    hotkey: Annotated[str, HOTKEY] | None = None
    cursor: Annotated[int, CURSOR] | None = None
    limit: Annotated[int, LIMIT] | None = None


@message("list_votes", Kind.REQUEST)
class ListVotes(Message):
    """Ask for the votes on a scored task that you had a part in, oldest first, behind `cursor`.

    Answered by `vote_list`.
    """

    task_id: Annotated[int, TASK_ID]
    cursor: Annotated[int, CURSOR] | None = None
    limit: Annotated[int, LIMIT] | None = None


# server -> participant: replies


@message("registered", Kind.REPLY)
class Registered(Message):
    """You take part, with this reputation, and the server counts on you for this while you are connected."""

    hotkey: Annotated[str, HOTKEY]
    reputation_score: Annotated[float, SCORE]
    registered_at: Annotated[int, MILLISECONDS]
    mining: Annotated[bool, Flag()]
    judging: Annotated[bool, Flag()]


@message("task_created", Kind.REPLY)
class TaskCreated(Message):
    """The task and your completion are on disk; its miner has until `expire_at`."""

    task_id: Annotated[int, TASK_ID]
    assigned_miner_hotkey: Annotated[str, HOTKEY]
    expire_at: Annotated[int, MILLISECONDS]


@message("cancelled", Kind.REPLY)
class TaskCancelled(Message):
    """The task is withdrawn; its miner is told."""

    task_id: Annotated[int, TASK_ID]


@record
class TaskLine(Record):
    """One task in a list. A voter is told no author and no time but `voting_closes_at`, and whether he has `voted`."""

    task_id: Annotated[int, TASK_ID]
    task_type: Annotated[str, TASK_TYPE]
    status: Annotated[str, Choice(TASK_STATUSES)]
    created_at: Annotated[int, MILLISECONDS] | None = None
    expire_at: Annotated[int, MILLISECONDS] | None = None
    submitted_at: Annotated[int, MILLISECONDS] | None = None
    voting_closes_at: Annotated[int, MILLISECONDS] | None = None
    scored_at: Annotated[int, MILLISECONDS] | None = None
    assigned_miner_hotkey: Annotated[str, HOTKEY] | None = None
    validator_hotkey: Annotated[str, HOTKEY] | None = None
    voted: Annotated[bool, Flag()] | None = None


@message("subnet_task_list", Kind.REPLY)
class TaskList(Message):
    """Tasks, the newest first. With `next` there may be more: ask again with it as `cursor`."""

    tasks: Annotated[Sequence[TaskLine], Records(TaskLine, LINES_MAX, extensible=True)]
    next: Annotated[int, CURSOR] | None = None


@message("subnet_task", Kind.REPLY)
class TaskShown(Message):
    """A task as you may see it.

    Whoever may judge it sees `prompt` and, under labels shuffled for him alone, `a` and `b`, and what he `voted` for.
    Validator, miner and contributors see what is theirs. Once it is scored all who had a part see everything.
    """

    task_id: Annotated[int, TASK_ID]
    task_type: Annotated[str, TASK_TYPE]
    status: Annotated[str, Choice(TASK_STATUSES)]
    voting_closes_at: Annotated[int, MILLISECONDS] | None = None
    prompt: Annotated[str, PROMPT] | None = None
    a: Annotated[str, COMPLETION] | None = None
    b: Annotated[str, COMPLETION] | None = None
    voted: Annotated[str, Choice(LABELS)] | None = None
    task_metadata: Annotated[str, METADATA] | None = None
    created_at: Annotated[int, MILLISECONDS] | None = None
    expire_at: Annotated[int, MILLISECONDS] | None = None
    submitted_at: Annotated[int, MILLISECONDS] | None = None
    scored_at: Annotated[int, MILLISECONDS] | None = None
    validator_hotkey: Annotated[str, HOTKEY] | None = None
    assigned_miner_hotkey: Annotated[str, HOTKEY] | None = None
    submitted_by: Annotated[str, HOTKEY] | None = None
    validator_completion: Annotated[str, COMPLETION] | None = None
    miner_completion: Annotated[str, COMPLETION] | None = None


@message("completion_taken", Kind.REPLY)
class CompletionTaken(Message):
    """Your answer is on disk and is being judged."""

    task_id: Annotated[int, TASK_ID]
    voting_closes_at: Annotated[int, MILLISECONDS]


@message("vote_taken", Kind.REPLY)
class VoteTaken(Message):
    """Your vote is on disk, with the weight that your reputation gives it."""

    task_id: Annotated[int, TASK_ID]
    chosen: Annotated[str, Choice(LABELS)]
    weight: Annotated[float, WEIGHT]
    voting_closes_at: Annotated[int, MILLISECONDS]


@message("contributor_added", Kind.REPLY)
class ContributorAdded(Message):
    """He may see and answer your tasks, and is told."""

    contributor_hotkey: Annotated[str, HOTKEY]
    created_at: Annotated[int, MILLISECONDS]


@message("contributor_removed", Kind.REPLY)
class ContributorRemoved(Message):
    """The link has ended; both are told."""

    contributor_hotkey: Annotated[str, HOTKEY]
    miner_hotkey: Annotated[str, HOTKEY]
    revoked_at: Annotated[int, MILLISECONDS]


@record
class ContributorLine(Record):
    """One who helps, or has helped, a miner."""

    contributor_hotkey: Annotated[str, HOTKEY]
    created_at: Annotated[int, MILLISECONDS]
    revoked_at: Annotated[int, MILLISECONDS] | None = None


@message("contributor_list", Kind.REPLY)
class ContributorList(Message):
    """Who helps you, and the miner that you help, if any."""

    contributors: Annotated[Sequence[ContributorLine], Records(ContributorLine, LINES_MAX, extensible=True)]
    miner_hotkey: Annotated[str, HOTKEY] | None = None


@message("participant", Kind.REPLY)
class Participant(Message):
    """Somebody who takes part. Roles follow from what he has done, never from what he says."""

    hotkey: Annotated[str, HOTKEY]
    fingerprint: Annotated[str, FINGERPRINT]
    reputation_score: Annotated[float, SCORE]
    registered_at: Annotated[int, MILLISECONDS]
    roles: Annotated[Sequence[str], Words(ROLES)]
    contributes_to: Annotated[str, HOTKEY] | None = None


@record
class ScoreLine(Record):
    """One change of a reputation, as it was applied."""

    id: Annotated[int, CURSOR]
    score_change: Annotated[float, SCORE_CHANGE]
    score_after: Annotated[float, SCORE]
    reason: Annotated[str, REASON]
    created_at: Annotated[int, MILLISECONDS]
    task_id: Annotated[int, TASK_ID] | None = None


@message("score_changes", Kind.REPLY)
class ScoreChanges(Message):
    """The changes of one participant's reputation, the newest first: 50 and all of them together are the score."""

    hotkey: Annotated[str, HOTKEY]
    reputation_score: Annotated[float, SCORE]
    changes: Annotated[Sequence[ScoreLine], Records(ScoreLine, LINES_MAX, extensible=True)]
    next: Annotated[int, CURSOR] | None = None


@record
class VoteLine(Record):
    """One vote on a scored task; `chosen` says whose completion was preferred."""

    id: Annotated[int, CURSOR]
    voter_hotkey: Annotated[str, HOTKEY]
    chosen: Annotated[str, Choice(SIDES)]
    chosen_completion_id: Annotated[int, CURSOR]
    weight: Annotated[float, WEIGHT]
    created_at: Annotated[int, MILLISECONDS]
    updated_at: Annotated[int, MILLISECONDS]
    against_completion_id: Annotated[int, CURSOR] | None = None


@message("vote_list", Kind.REPLY)
class VoteList(Message):
    """Votes, the oldest first. With `next` there may be more: ask again with it as `cursor`."""

    task_id: Annotated[int, TASK_ID]
    votes: Annotated[Sequence[VoteLine], Records(VoteLine, LINES_MAX, extensible=True)]
    next: Annotated[int, CURSOR] | None = None


# server -> participant: pushes


@message("task_assigned", Kind.PUSH)
class TaskAssigned(Message):
    """Answer this until `expire_at`: you are its miner, or you help him. Comes again until the task is no longer open.

    `task_metadata` is absent where it is larger than a push carries: ask `get_task`.
    """

    task_id: Annotated[int, TASK_ID]
    task_type: Annotated[str, TASK_TYPE]
    expire_at: Annotated[int, MILLISECONDS]
    assigned_miner_hotkey: Annotated[str, HOTKEY]
    task_metadata: Annotated[str, METADATA] | None = None


@message("task_withdrawn", Kind.PUSH)
class TaskWithdrawn(Message):
    """Its validator has cancelled the task: stop working on it."""

    task_id: Annotated[int, TASK_ID]


@message("completion_submitted", Kind.PUSH)
class CompletionSubmitted(Message):
    """The task has its answer. For its validator, and for those who could have given it: stop working on it."""

    task_id: Annotated[int, TASK_ID]


@message("vote_requested", Kind.PUSH)
class VoteRequested(Message):
    """Say which is better until `voting_closes_at`. Comes again until you have voted or the voting is over.

    `prompt`, `a` and `b` are absent where they are larger than a push carries: ask `get_task`.
    """

    task_id: Annotated[int, TASK_ID]
    task_type: Annotated[str, TASK_TYPE]
    voting_closes_at: Annotated[int, MILLISECONDS]
    prompt: Annotated[str, PROMPT] | None = None
    a: Annotated[str, COMPLETION] | None = None
    b: Annotated[str, COMPLETION] | None = None


@record
class TaskScoreLine(Record):
    """Whose reputation a task has moved, and why."""

    hotkey: Annotated[str, HOTKEY]
    score_change: Annotated[float, SCORE_CHANGE]
    score_after: Annotated[float, SCORE]
    reason: Annotated[str, REASON]


@message("task_scored", Kind.PUSH)
class TaskScored(Message):
    """The voting is over: the votes (of more than 100 the first), and whose reputation moved. `get_task` shows all."""

    task_id: Annotated[int, TASK_ID]
    votes: Annotated[Sequence[VoteLine], Records(VoteLine, LINES_MAX, extensible=True)]
    scores: Annotated[Sequence[TaskScoreLine], Records(TaskScoreLine, LINES_MAX, extensible=True)]


@message("task_expired", Kind.PUSH)
class TaskExpired(Message):
    """Nobody answered in time. Told to the validator, the miner and those who help him."""

    task_id: Annotated[int, TASK_ID]


@message("contributor_linked", Kind.PUSH)
class ContributorLinked(Message):
    """From now on the contributor may see and answer the miner's tasks. Told to both."""

    contributor_hotkey: Annotated[str, HOTKEY]
    miner_hotkey: Annotated[str, HOTKEY]


@message("contributor_revoked", Kind.PUSH)
class ContributorRevoked(Message):
    """From now on the contributor may see and answer nothing of the miner's. Told to both."""

    contributor_hotkey: Annotated[str, HOTKEY]
    miner_hotkey: Annotated[str, HOTKEY]


TO_SERVER = (
    Register, CreateTask, CancelTask, ListTasks, GetTask, SubmitCompletion, Vote, AddContributor, RevokeContributor,
    LeaveMiner, ListContributors, GetParticipant, AskScoreHistory, ListVotes,
)  # fmt: skip
"""What participants send."""

FROM_SERVER = (
    Registered, TaskCreated, TaskCancelled, TaskList, TaskShown, CompletionTaken, VoteTaken, ContributorAdded,
    ContributorRemoved, ContributorList, Participant, ScoreChanges, VoteList,
    TaskAssigned, TaskWithdrawn, CompletionSubmitted, VoteRequested, TaskScored, TaskExpired, ContributorLinked,
    ContributorRevoked,
)  # fmt: skip
"""What the server sends them."""
