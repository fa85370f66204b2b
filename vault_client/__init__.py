"""The SDK and the command line for those who ask. Imports nothing of ours but `protocol`."""

from protocol.identity import Identity
from protocol.puzzle import Puzzle
from protocol.vault import ComplaintRuled, StandingChanged, TaskFailed, TaskLine, TaskProgress
from vault_client.answers import Answer, Order, ProofWish
from vault_client.complaints import Complaint
from vault_client.errors import (
    AnswerRejected,
    Banned,
    ConnectionEnded,
    FileError,
    KeyRefused,
    NotAdmitted,
    NotProved,
    Refused,
    ServerNotTrusted,
    ServerUnreachable,
    TaskCancelledError,
    TaskConfused,
    TaskEndedError,
    TaskFailedError,
    VaultClientError,
)
from vault_client.events import Event, TaskAnswered
from vault_client.hive import Hive
from vault_client.hive_connection import HiveEvent
from vault_client.hive_key import NoKey
from vault_client.hive_sdk import connect_hive
from vault_client.keyfile import load_or_make_key
from vault_client.link import ConnectionEvent
from vault_client.sdk import connect
from vault_client.statuses import TaskStatus
from vault_client.subnet import Subnet, SubnetEvent
from vault_client.subnet_sdk import connect_subnet
from vault_client.tasks import Progress, Task
from vault_client.vault import Vault

__all__ = [
    "connect",
    "connect_subnet",
    "connect_hive",
    "Subnet",
    "SubnetEvent",
    "Hive",
    "HiveEvent",
    "Vault",
    "Task",
    "Puzzle",
    "Order",
    "ProofWish",
    "Answer",
    "Progress",
    "TaskStatus",
    "TaskLine",
    "Complaint",
    "Event",
    "TaskAnswered",
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
    "KeyRefused",
    "NoKey",
    "Banned",
    "ServerUnreachable",
    "ServerNotTrusted",
    "ConnectionEnded",
    "AnswerRejected",
    "TaskConfused",
    "NotProved",
    "TaskEndedError",
    "TaskFailedError",
    "TaskCancelledError",
    "FileError",
]
