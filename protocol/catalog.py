"""The one list: wire name <-> message class, per direction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from protocol import hive, hive_replies, session, subnet, vault
from protocol.envelope import Message


def _by_name(classes: Iterable[type[Message]]) -> Mapping[str, type[Message]]:
    listed: dict[str, type[Message]] = {}
    for cls in classes:
        name = cls.SHAPE.wire_type
        assert name not in listed, f"two messages of one direction are called {name}"
        listed[name] = cls
    return MappingProxyType(listed)


TO_SERVER = _by_name(
    [
        session.Hello, session.Ack, session.Ping, session.Exit, *subnet.TO_SERVER,
        vault.SubmitPuzzle, vault.AskStatus, vault.CancelTask, vault.Complain, vault.ListTasks,
        vault.UpdateStatus, vault.AcceptAssignment, vault.ReportProgress, vault.SubmitAnswer, vault.ReturnAssignment,
        vault.RespondToComplaint, vault.RelayCheckpoint,
    ]
)  # fmt: skip
"""What clients and solvers send."""

FROM_SERVER = _by_name(
    [
        session.Challenge, session.Welcome, session.Pong, session.Exit, session.Error, *subnet.FROM_SERVER,
        vault.PuzzleAccepted, vault.TaskState, vault.TaskCancelled, vault.PuzzleAnswered, vault.TaskFailed,
        vault.TaskProgress, vault.ComplaintTaken, vault.TaskList,
        vault.StatusUpdated, vault.PuzzleOffered, vault.AssignmentAccepted, vault.AnswerTaken, vault.AssignmentReturned,
        vault.AssignmentEnded, vault.ComplaintRaised, vault.ComplaintHeard, vault.ComplaintRuled, vault.StandingChanged,
        vault.CheckpointTaken, vault.CheckpointOffered,
    ]
)  # fmt: skip
"""What the server sends."""

HIVE_TO_SERVER = _by_name([session.Ack, session.Ping, session.Exit, *hive.TO_SERVER])
"""What agents and people send on /hive, whose names are its own."""

HIVE_FROM_SERVER = _by_name([session.Pong, session.Exit, session.Error, *hive_replies.FROM_SERVER])
"""What the server sends there."""
