"""What the user is told of a task, in one line."""

from __future__ import annotations

import datetime

from vault_client.durations import format_duration
from vault_client.tasks import Task

_SOLVERS = ("no solver is free yet", "one solver is on it", "two solvers are on it")


def describe(task: Task) -> str:
    """Who works on it, and how long it takes. A task found by its id alone says only that."""
    accepted = task.accepted
    if accepted is None:
        return f"Waiting for task {task.id}."
    line = f"Task {task.id}: {_SOLVERS[accepted.assigned]}; {_effort(accepted.effort_seconds)}"
    return f"{line}, promised by {local_time(accepted.promised_by)}." if accepted.promised_by else f"{line}."


def local_time(milliseconds: int) -> str:
    """A moment in this machine's time zone, to the second."""
    return _moment(milliseconds / 1_000).strftime("%Y-%m-%d %H:%M:%S %Z")


def clock_time(seconds: float) -> str:
    """The same without the date, for what is soon."""
    return _moment(seconds).strftime("%H:%M:%S")


def clock_or_date(milliseconds: int) -> str:
    """The time of day alone for what happened today, date and time for what is older."""
    moment, today = _moment(milliseconds / 1_000), datetime.datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M:%S")


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).astimezone()


def _effort(seconds: float) -> str:
    about = "less than a second" if seconds < 1 else f"about {format_duration(seconds)}"
    return f"{about} of squaring on the reference machine"
