"""What docs/protocol.md says of the subnet's messages, beside what their classes say."""

from __future__ import annotations

from collections.abc import Mapping

from protocol import subnet
from protocol.catalog import FROM_SERVER, TO_SERVER
from protocol.envelope import Message
from protocol.errors import Code

REPLIES: Mapping[str, str] = {
    "register": "registered",
    "create_task": "task_created",
    "cancel_task": "cancelled",
    "list_subnet_tasks": "subnet_task_list",
    "get_task": "subnet_task",
    "submit_completion": "completion_taken",
    "vote": "vote_taken",
    "add_contributor": "contributor_added",
    "revoke_contributor": "contributor_removed",
    "leave_miner": "contributor_removed",
    "list_contributors": "contributor_list",
    "get_participant": "participant",
    "score_history": "score_changes",
    "list_votes": "vote_list",
}

REFUSALS: Mapping[str, tuple[Code, ...]] = {
    "create_task": (
        Code.REPUTATION_TOO_LOW, Code.TOO_MANY_OPEN_TASKS, Code.NO_MINER_AVAILABLE, Code.NOT_REGISTERED,
        Code.CONFLICT_OF_INTEREST, Code.IDEMPOTENCY_CONFLICT,
    ),
    "cancel_task": (Code.TASK_NOT_FOUND, Code.TASK_EXPIRED, Code.INVALID_STATUS),
    "get_task": (Code.TASK_NOT_FOUND,),
    "submit_completion": (
        Code.TASK_NOT_FOUND, Code.NOT_ASSIGNED, Code.DUPLICATE_COMPLETION, Code.TASK_EXPIRED, Code.INVALID_STATUS,
    ),
    "vote": (Code.TASK_NOT_FOUND, Code.SELF_VOTE, Code.NOT_REGISTERED, Code.VOTING_CLOSED),
    "add_contributor": (Code.CONFLICT_OF_INTEREST, Code.ALREADY_LINKED, Code.TOO_MANY_CONTRIBUTORS),
    "revoke_contributor": (Code.NOT_LINKED,),
    "leave_miner": (Code.NOT_LINKED,),
    "get_participant": (Code.NOT_REGISTERED,),
    "score_history": (Code.NOT_REGISTERED,),
    "list_votes": (Code.TASK_NOT_FOUND, Code.INVALID_STATUS),
}  # fmt: skip

GROUPS: Mapping[str, tuple[Mapping[str, type[Message]], tuple[str, ...]]] = {
    "messages-subnet-to-server": (TO_SERVER, tuple(cls.SHAPE.wire_type for cls in subnet.TO_SERVER)),
    "messages-subnet-from-server": (FROM_SERVER, tuple(cls.SHAPE.wire_type for cls in subnet.FROM_SERVER)),
}

SETTINGS = (
    "subnet_frame_bytes_max", "subnet_fair_ms", "subnet_votes_min", "subnet_voters_max", "subnet_score_scale",
    "subnet_no_vote_penalty_total", "subnet_validator_reputation_min",
)  # fmt: skip
"""Settings that a participant can meet and `welcome` does not name."""
