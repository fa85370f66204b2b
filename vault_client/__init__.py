"""The SDK and the command line for those who ask. Imports nothing of ours but `protocol`."""

from protocol.identity import Identity
from protocol.vault import (
    ComplaintRuled,
    PuzzleAnswered,
    StandingChanged,
    TaskFailed,
    TaskLine,
    TaskProgress,
    TaskState,
)
from vault_client.complaints import Complaint
from vault_client.errors import (
    Banned,
    ConnectionEnded,
    FileError,
    NotAdmitted,
    Refused,
    ServerNotTrusted,
    ServerUnreachable,
    TaskCancelledError,
    TaskEndedError,
    TaskFailedError,
    VaultClientError,
)
from vault_client.events import Event
from vault_client.keyfile import load_or_make_key
from vault_client.link import ConnectionEvent
from vault_client.sdk import connect
from vault_client.tasks import Answer, Progress, Task
from vault_client.vault import Vault

__all__ = [
    "connect",
    "Vault",
    "Task",
    "Answer",
    "Progress",
    "TaskState",
    "TaskLine",
    "Complaint",
    "Event",
    "PuzzleAnswered",
    "TaskFailed",
    "TaskProgress",
    "ComplaintRuled",
    "StandingChanged",
    "ConnectionEvent",
    "Identity",
    "load_or_make_key",
    "VaultClientError",
    "Refused",
    "NotAdmitted",
    "Banned",
    "ServerUnreachable",
    "ServerNotTrusted",
    "ConnectionEnded",
    "TaskEndedError",
    "TaskFailedError",
    "TaskCancelledError",
    "FileError",
]
