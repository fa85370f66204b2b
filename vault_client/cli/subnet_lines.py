"""What `vault-client subnet` prints for people: one line for each thing."""

from __future__ import annotations

import time
from collections.abc import Iterator

from protocol import subnet as wire
from protocol.vault import StandingChanged
from vault_client.cli.submitted import local_time
from vault_client.durations import format_duration
from vault_client.subnet import SubnetEvent
from vault_client.subnet_worker import plain

KEY_SHOWN = 16


def short(hotkey: str | None) -> str:
    """The beginning of a key, enough to tell people apart on a screen; --json has all of it."""
    return "?" if hotkey is None else f"{hotkey[:KEY_SHOWN]}…"


def left(ends_at: int) -> str:
    """How long until then."""
    seconds = ends_at / 1000 - time.time()
    return f"{format_duration(seconds)} left" if seconds > 0 else "over"


def task_line(line: wire.TaskLine) -> str:
    """One task of a list."""
    return f"{line.task_id:>6}  {line.status:<9}  {line.task_type:<12}  {_until(line)}".rstrip()


def _until(line: wire.TaskLine) -> str:
    if line.status == "assigned" and line.expire_at is not None:
        return f"to be answered by {short(line.assigned_miner_hotkey)}, {left(line.expire_at)}"
    if line.status == "submitted" and line.voting_closes_at is not None:
        voted = "" if line.voted is None else ", you have voted" if line.voted else ", you have not voted"
        return f"being judged, {left(line.voting_closes_at)}{voted}"
    if line.scored_at is not None:
        return f"scored {local_time(line.scored_at)}"
    return ""


def shown_task(shown: wire.TaskShown) -> Iterator[str]:
    """Everything that may be seen of a task."""
    yield f"Task {shown.task_id} ({shown.task_type}) is {shown.status}."
    for name, hotkey in (
        ("validator", shown.validator_hotkey),
        ("miner", shown.assigned_miner_hotkey),
        ("answered by", shown.submitted_by),
    ):
        if hotkey is not None:
            yield f"  {name:<22} {hotkey}"
    for name, at in (
        ("created", shown.created_at),
        ("to be answered by", shown.expire_at),
        ("answered", shown.submitted_at),
        ("voting closes", shown.voting_closes_at),
        ("scored", shown.scored_at),
    ):
        if at is not None:
            yield f"  {name:<22} {local_time(at)}"
    for name, text in (
        ("metadata", shown.task_metadata),
        ("prompt", shown.prompt),
        ("a", shown.a),
        ("b", shown.b),
        ("validator's completion", shown.validator_completion),
        ("miner's completion", shown.miner_completion),
    ):
        if text is not None:
            yield f"  {name:<22} {plain(text)}"
    if shown.voted is not None:
        yield f"  {'you voted for':<22} {shown.voted}"


def participant_lines(seen: wire.Participant) -> Iterator[str]:
    """Somebody who takes part."""
    yield f"{seen.hotkey}"
    yield f"  reputation {seen.reputation_score:g}, here since {local_time(seen.registered_at)}"
    yield f"  roles: {', '.join(seen.roles) or 'none yet'}"
    if seen.contributes_to is not None:
        yield f"  helps {seen.contributes_to}"


def score_line(line: wire.ScoreLine) -> str:
    """One change of a reputation."""
    about = "" if line.task_id is None else f"  task {line.task_id}"
    return f"{local_time(line.created_at)}  {line.score_change:+.6f}  {line.score_after:10.6f}  {line.reason}{about}"


def vote_line(line: wire.VoteLine) -> str:
    """One vote on a scored task."""
    return (
        f"{local_time(line.created_at)}  {short(line.voter_hotkey)}  for the {line.chosen:<9}  weight {line.weight:g}"
    )


def event_line(event: SubnetEvent) -> str:
    """Something that the server told."""
    match event:
        case wire.TaskAssigned():
            return f"task {event.task_id} ({event.task_type}): yours to answer, {left(event.expire_at)}"
        case wire.VoteRequested():
            return f"task {event.task_id} ({event.task_type}): yours to judge, {left(event.voting_closes_at)}"
        case wire.TaskWithdrawn():
            return f"task {event.task_id}: withdrawn"
        case wire.CompletionSubmitted():
            return f"task {event.task_id}: answered"
        case wire.TaskScored():
            chosen = [vote.chosen for vote in event.votes]
            counted = f"{chosen.count('validator')} for the validator, {chosen.count('miner')} for the miner"
            return f"task {event.task_id}: scored, {counted}"
        case wire.TaskExpired():
            return f"task {event.task_id}: expired, nobody answered"
        case wire.ContributorLinked():
            return f"{short(event.contributor_hotkey)} helps {short(event.miner_hotkey)}"
        case wire.ContributorRevoked():
            return f"{short(event.contributor_hotkey)} no longer helps {short(event.miner_hotkey)}"
        case StandingChanged():
            return f"your reputation: {event.score_change:+.6f} to {event.reputation_score:g} ({event.reason})"
