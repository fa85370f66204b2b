"""A run's outcome in words and tables for people, and as one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from tests.simulation.liars import Outcome
from tests.simulation.records import Standing

BAR = 20
BLAMED_SHOWN = 10


def as_json(outcome: Outcome) -> str:
    """Everything that is known, with what was broken in words."""
    shares = {"right_share": outcome.right_share, "wasted_share": outcome.wasted_share}
    return json.dumps(asdict(outcome) | shares | {"broken": outcome.broken}, indent=2)


def as_text(outcome: Outcome) -> str:
    """What a person wants to know, the promises first."""
    return "\n".join([*_summary(outcome), "", *_standings(outcome), "", *_kinds(outcome), "", *_verdict(outcome)])


def _summary(outcome: Outcome) -> Iterator[str]:
    shape, tally = outcome.shape, outcome.tally
    ways = ", ".join(f"{number} by {way}" for way, number in tally.ways.items()) or "none"
    whole = "" if outcome.is_whole else f" of {shape.tasks}: the run was cut short"
    yield f"{shape.solvers} solvers, {shape.liars} of them liars ({shape.share:.0%}); proof {shape.proof}"
    yield f"tasks ended        {tally.ended}{whole}, in {outcome.seconds:.0f} s"
    yield f"  right            {tally.right} ({outcome.right_share:.2%})"
    yield f"  failed           {tally.failed}"
    yield f"  judged           {ways}"
    yield f"wrong answers      {tally.wrong}"
    yield f"honest blamed      {len({each.solver for each in outcome.blamed})}"
    yield from (f"  {b.solver[:8]}… {b.change:+.1f}: {b.reason}" for b in outcome.blamed[:BLAMED_SHOWN])
    yield f"assignments a task {outcome.assignments_mean:.2f}, at most {outcome.assignments_most}"
    done = outcome.squarings_honest + outcome.squarings_liars
    wasted = f"of which for nothing {outcome.wasted_share:.1%} (two solvers a task: about half)"
    yield f"squarings          {done:,}, {wasted}"


def _standings(outcome: Outcome) -> Iterator[str]:
    yield "standing, 0 to 100   honest: mean, lowest   liars: mean, highest   liars' part of all assignments so far"
    for each in outcome.standings:
        yield (
            f"after {each.ended:6} tasks   {_score(each.honest_mean)} {_score(each.honest_lowest)}"
            f"          {_score(each.liars_mean)} {_score(each.liars_highest)}            {_bar(each)}"
        )


def _score(value: float | None) -> str:
    return "    -" if value is None else f"{value:5.1f}"


def _bar(standing: Standing) -> str:
    if standing.liars_share is None:
        return ""
    filled = round(BAR * standing.liars_share)
    return f"[{'#' * filled}{'.' * (BAR - filled)}] {standing.liars_share:.1%}"


def _kinds(outcome: Outcome) -> Iterator[str]:
    statuses = sorted({status for kind in outcome.kinds.values() for status in kind.assignments})
    yield f"{'kind':12}{'solvers':>8}{'score':>8}" + "".join(f"{status:>10}" for status in statuses)
    for name, kind in outcome.kinds.items():
        counts = "".join(f"{kind.assignments.get(status, 0):10}" for status in statuses)
        yield f"{name:12}{kind.solvers:8}{kind.score:8.1f}{counts}"
    yield ""
    for reason in sorted({reason for kind in outcome.kinds.values() for reason in kind.lowered}):
        whose = ", ".join(
            f"{name} {kind.lowered[reason]}" for name, kind in outcome.kinds.items() if reason in kind.lowered
        )
        yield f"lowered for {reason!r}: {whose}"


def _verdict(outcome: Outcome) -> Iterator[str]:
    if outcome.tally.wrong and outcome.shape.proof == "none":
        yield "Without proofs two solvers that agree are believed: that is how the wrong answers came through."
    if outcome.broken:
        yield from (f"BROKEN: {promise}" for promise in outcome.broken)
    else:
        yield "Every answer delivered was right, no honest solver was blamed, and the database is sound."
