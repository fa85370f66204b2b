"""What `watch` shows on a terminal: bars for what is worked on, lines above them, and nothing of what is over."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from protocol.vault import TaskProgress
from vault_client.answers import Answer
from vault_client.cli import news

TASK, OTHER = "5" * 32, "6" * 32


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    written = StringIO()
    console = Console(file=written, force_terminal=True, width=60, soft_wrap=True, markup=False, highlight=False)
    monkeypatch.setattr(news, "errors", console)
    return written


def progress(task: str, done: int) -> TaskProgress:
    return TaskProgress(task=task, done=done, total=100)


def test_a_line_stands_alone_and_whole_above_the_bars(screen: StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    y = 16**200 - 1
    with news.BarNews() as shown:
        shown.progress(progress(TASK, 10))
        shown.progress(progress(OTHER, 20))
        shown.answered(TASK, Answer(y=y, judged_by="proof", is_checked=True))
    lines = [line.rsplit("\x1b[2K", 1)[-1] for line in screen.getvalue().split("\n")]
    assert f"{TASK}  is answered (proof, checked here): {y:#x}" in lines
    assert capsys.readouterr().out == ""


def test_progress_that_comes_after_the_end_draws_no_bar(screen: StringIO) -> None:
    with news.BarNews() as shown:
        shown.progress(progress(TASK, 10))
        shown.failed(TASK, "nobody could say")
        shown.progress(progress(TASK, 99))
        shown.progress(progress(OTHER, 20))
        assert [bar.description for bar in shown._bars.tasks] == [OTHER[:12]]
