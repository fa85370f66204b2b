"""What `watch` prints of what happens: lines of text, lines of JSON, or bars with lines above them."""

from __future__ import annotations

import dataclasses
import json
import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from protocol.vault import ComplaintRuled, StandingChanged, TaskLine, TaskProgress
from vault_client.answers import Answer
from vault_client.cli.bars import LINE_SECONDS
from vault_client.cli.console import errors, say
from vault_client.cli.judged import judged
from vault_client.cli.options import ConnectionNotes
from vault_client.link import ConnectionEvent
from vault_client.statuses import TaskStatus
from vault_client.watching import OPEN, Listener

BARS_MAX = 20


class News(Listener):
    """A listener that hears of the connection too."""

    def connection(self, event: ConnectionEvent) -> None:
        """It was lost, or is back."""


class TextNews(News):
    """One line for each thing that happens, and one now and then for progress."""

    def __init__(self) -> None:
        self._notes = ConnectionNotes()
        self._said: dict[str, float] = {}

    def connection(self, event: ConnectionEvent) -> None:
        self._notes.changed(event)

    def standing_now(self, task: TaskStatus | TaskLine) -> None:
        if task.status in OPEN:
            self._say(f"{task.task}  is {task.status}")

    def progress(self, news: TaskProgress) -> None:
        now = time.monotonic()
        if now - self._said.get(news.task, 0.0) >= LINE_SECONDS:
            self._said[news.task] = now
            self._say(f"{news.task}  {news.done / max(1, news.total):.0%} done")

    def answered(self, task: str, answer: Answer) -> None:
        self._ended(task, f"is answered ({judged(answer)}): {answer.y:#x}")

    def failed(self, task: str, reason: str) -> None:
        self._ended(task, f"has failed: {reason}")

    def cancelled(self, task: str) -> None:
        self._ended(task, "is cancelled")

    def ruled(self, ruling: ComplaintRuled) -> None:
        self._say(f"{ruling.task}  complaint {ruling.complaint} ({ruling.kind}) is {ruling.ruling}: {ruling.reason}")

    def standing_changed(self, changed: StandingChanged) -> None:
        self._say(
            f"Your standing as a client is {changed.reputation_score:g} ({changed.score_change:+g}): {changed.reason}"
        )

    def _ended(self, task: str, how: str) -> None:
        self._said.pop(task, None)
        self._say(f"{task}  {how}")

    def _say(self, line: str) -> None:
        say(line)


class BarNews(TextNews):
    """The same on a terminal, with a bar for each task that is worked on."""

    def __init__(self) -> None:
        super().__init__()
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=errors, transient=True, speed_estimate_period=60)
        self._rows: dict[str, TaskID] = {}
        self._over: set[str] = set()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def progress(self, news: TaskProgress) -> None:
        if news.task in self._over:
            return  # it was under way when the task ended
        if news.task not in self._rows:
            if len(self._rows) >= BARS_MAX:
                return
            self._rows[news.task] = self._bars.add_task(news.task[:12], total=news.total)
        self._bars.update(self._rows[news.task], completed=news.done)

    def _ended(self, task: str, how: str) -> None:
        self._over.add(task)
        if (row := self._rows.pop(task, None)) is not None:
            self._bars.remove_task(row)
        super()._ended(task, how)

    def _say(self, line: str) -> None:
        self._bars.console.print(line)  # above the bars, which would be drawn over any other line


class JsonNews(News):
    """One JSON object a line; `event` says what happened."""

    def connection(self, event: ConnectionEvent) -> None:
        _print("connection", **dataclasses.asdict(event))

    def standing_now(self, task: TaskStatus | TaskLine) -> None:
        _print("task", task=task.task, status=task.status, created=task.created, promised_by=task.promised_by)

    def progress(self, news: TaskProgress) -> None:
        _print("progress", task=news.task, done=news.done, total=news.total)

    def answered(self, task: str, answer: Answer) -> None:
        _print(
            "answered",
            task=task,
            answer=f"{answer.y:#x}",
            judged_by=answer.judged_by,
            is_checked=answer.is_checked,
            solver=answer.solver,
        )

    def failed(self, task: str, reason: str) -> None:
        _print("failed", task=task, reason=reason)

    def cancelled(self, task: str) -> None:
        _print("cancelled", task=task)

    def ruled(self, ruling: ComplaintRuled) -> None:
        _print(
            "ruled",
            task=ruling.task,
            complaint=ruling.complaint,
            kind=ruling.kind,
            ruling=ruling.ruling,
            reason=ruling.reason,
        )

    def standing_changed(self, changed: StandingChanged) -> None:
        _print(
            "standing",
            reputation_score=changed.reputation_score,
            score_change=changed.score_change,
            reason=changed.reason,
            task=changed.task,
        )


def _print(event: str, **fields: object) -> None:
    say(json.dumps({"event": event} | fields))
