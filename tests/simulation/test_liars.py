"""A short run of `scripts/simulate liars` with a real server: the promises hold, and without proofs they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scripts import simulate
from tests.simulation import report
from tests.simulation.liars import Outcome, Run
from tests.simulation.lies import KINDS
from tests.simulation.records import Blamed
from tests.simulation.shape import Shape

QUICK: dict[str, object] = {"deadline_ms_min": 2_500, "deadline_ms_unknown": 2_500}


async def outcome_of(folder: Path, shape: Shape) -> Outcome:
    return await Run(folder, shape, lambda *_: None, QUICK).outcome()


async def test_three_in_five_lie_and_every_answer_is_right(tmp_path: Path) -> None:
    outcome = await outcome_of(tmp_path, Shape(0.6, tasks=60, solvers=30, work_ms=50))
    assert outcome.broken == []
    assert outcome.is_whole
    assert (outcome.tally.right, outcome.tally.wrong, outcome.blamed) == (60, 0, [])
    assert outcome.tally.ways == {"proof": 60}
    assert set(outcome.kinds) == {"honest", *KINDS}
    assert outcome.kinds["guessing"].score < 10 < 50 < outcome.kinds["honest"].score
    assert outcome.standings[-1].ended == 60
    assert "no honest solver was blamed" in report.as_text(outcome)
    assert json.loads(report.as_json(outcome))["tally"]["right"] == 60
    blamed = replace(outcome, blamed=[Blamed("ab" * 16, -45.5, "answer proved wrong")])
    assert blamed.broken == ["1 honest solvers were blamed"]
    assert "-45.5: answer proved wrong" in report.as_text(blamed)


async def test_without_proofs_pairs_that_agree_are_believed_and_the_report_says_so(tmp_path: Path) -> None:
    shape = Shape(1.0, tasks=20, solvers=2, clients=2, kinds=("colluding",), proof="none")
    outcome = await outcome_of(tmp_path, shape)
    assert outcome.is_whole
    assert (outcome.tally.wrong, outcome.tally.ways) == (20, {"agreed": 20})
    assert outcome.broken == ["20 wrong answers were delivered"]
    assert "two solvers that agree are believed" in report.as_text(outcome)


async def test_a_run_that_is_stopped_tells_what_it_knows(tmp_path: Path) -> None:
    run = Run(tmp_path, Shape(0.0, tasks=10**6, solvers=4), lambda *_: None, QUICK)
    run.stop.set()
    outcome = await run.outcome()
    assert not outcome.is_whole
    assert "the run was cut short" in report.as_text(outcome)
    assert outcome.broken == []


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--share", "1.5"], "is no share"), (["--kinds", "silent,lazy"], "no kind of liar is called 'lazy'")],
)
def test_words_that_mean_nothing_are_refused(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        simulate.parser().parse_args(["liars", *words])
    assert left.value.code == 2
    assert says in capsys.readouterr().err
