"""What a fleet of solvers, many of them liars, can do to a real server.

A server process on 127.0.0.1 in a temporary folder, clients and solvers as real peers. tests/simulation has the fleet.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from tests.simulation import killed, report
from tests.simulation.liars import Run
from tests.simulation.lies import KINDS
from tests.simulation.peers import Tally
from tests.simulation.records import Standing
from tests.simulation.shape import Shape
from tests.simulation.verifiers import RATIO_MAX, measure

INTERRUPTED = 130
COUNTS = {
    "tasks": "tasks in all",
    "solvers": "solvers in all",
    "clients": "clients",
    "under_way": "tasks each client keeps open",
    "capacity": "tasks an honest solver takes at once, once it is trusted",
    "work_ms": "milliseconds that honest work takes on average; lies take none",
    "seed": "rules who lies when, not the network's timing",
}
"""Options of `liars` that are fields of `Shape`."""

LIARS = """
Starts a server, clients that know the factors of their puzzles, and solvers of whom a share lies. Every answer is
compared; scores, blame and assignments are read from the database at the end.

kinds of liars:
  guessing   a random answer without a proof       garbage    a random answer with bytes that look like a proof
  negating   N - y with the honest proof of y      breaking   the right answer with a proof that is wrong somewhere
  copying    another solver's answer and proof     silent     accepts and never answers
  slow       right, after the deadline             colluding  pairs that agree on a lie and prove it as well as they can
  relaying   hands back, or drops, what it has with a checkpoint that would lead the next one astray
  renewing   garbage, by a new key each time
  sleeping   right until trusted, then any of these

examples:
  scripts/simulate liars --share 0.6                            three solvers in five lie, each kind as often
  scripts/simulate liars --share 0.3 --kinds colluding --proof none
                                                                without proofs: colluding pairs do get lies through
  scripts/simulate liars --share 0.95 --tasks 200 --json        a shorter run, for a program to read

exit code: 0 when no wrong answer was delivered, no honest solver blamed, the database is sound and, up to 60 % liars,
at least 99 % of the tasks were answered rightly; 1 when not; 130 when it was interrupted (what is known is shown).
"""


VERIFIERS = """
Measures how long a puzzle takes from its submission to its solver, while the processes that check proofs have nothing
to do and while more proofs wait than they can check; the two take turns in one run. The aim: with all verifiers busy,
99 of 100 puzzles are at most twice as late as 99 of 100 are otherwise.

example:
  scripts/simulate verifiers --seconds 5 --turns 3              half a minute, on a machine that does nothing else

exit code: 0 when the aim is met; 1 when not; 130 when it was interrupted.
"""


KILLED = """
Measures what kill -9 of a solver at 60 % of its work costs: started again, started again with its newest checkpoint
damaged, and succeeded by another solver that goes on from what was relayed, each beside an undisturbed run. A puzzle of
2048 bits that takes GMP `--seconds`; checks and relays two and a half times in `--interval`. The aim: at most one
interval more.

example:
  scripts/simulate killed --seconds 120 --interval 10           nine minutes, on a machine that does nothing else

exit code: 0 when the aim is met; 1 when not; 130 when it was interrupted.
"""


def main() -> None:
    """Run one simulation, say what came of it, and exit with what that means."""
    options = parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server is taken down then, too
    try:
        with tempfile.TemporaryDirectory(prefix="vault-simulate-") as folder:
            sys.exit(asyncio.run(options.run(Path(folder), options)))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def parser() -> argparse.ArgumentParser:
    """What may be asked for."""
    parser = argparse.ArgumentParser(
        prog="scripts/simulate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(required=True, metavar="liars | verifiers | killed")
    liars = kinds.add_parser(
        "liars",
        help="a fleet of which a share lies: wrong answers, blame, waste",
        description=LIARS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_liars(liars)
    verifiers = kinds.add_parser(
        "verifiers",
        help="what many proofs do to the way of a puzzle to its solver",
        description=VERIFIERS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verifiers.add_argument("--seconds", type=float, default=3.0, help="time of each state in each turn (default: 3)")
    verifiers.add_argument("--turns", type=_count, default=3, help="turns of idle and saturated (default: 3)")
    verifiers.set_defaults(run=_verifiers)
    stories = kinds.add_parser(
        "killed",
        help="what kill -9 of a solver costs",
        description=KILLED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    stories.add_argument("--seconds", type=float, default=120.0, help="what the puzzle takes (default: 120)")
    stories.add_argument(
        "--interval", type=float, default=10.0, help="seconds of work that a crash may cost (default: 10)"
    )
    stories.set_defaults(run=_killed)
    return parser


def _add_liars(liars: argparse.ArgumentParser) -> None:
    default = Shape(0.0)
    liars.add_argument("--share", type=_share, default=0.6, help="part of the solvers that lie (default: %(default)s)")
    for name, meaning in COUNTS.items():
        option = f"--{name.replace('_', '-')}"
        value = getattr(default, name)
        liars.add_argument(option, type=_count, default=value, help=f"{meaning} (default: %(default)s)")
    liars.add_argument("--kinds", type=_kinds, default=default.kinds, help="kinds of liars, with commas (default: all)")
    liars.add_argument("--proof", choices=("required", "none"), default="required", help="what clients ask for")
    liars.add_argument("--json", action="store_true", help="print the whole outcome as JSON")
    liars.set_defaults(run=_liars)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no count: give a whole number from 1 on")
    return int(text)


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share: give a number from 0 to 1, like 0.6")
    return share


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(word.strip() for word in text.split(","))
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise argparse.ArgumentTypeError(f"no kind of liar is called {unknown[0]!r}; there are {', '.join(KINDS)}")
    return kinds


async def _liars(folder: Path, options: argparse.Namespace) -> int:
    """The exit code. Ctrl-C and SIGTERM cut the run short; what is known by then is shown."""
    counts = {name: getattr(options, name) for name in COUNTS}
    shape = Shape(options.share, kinds=options.kinds, proof=options.proof, **counts)
    run = Run(folder, shape, _progress, {})
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, run.stop.set)
    outcome = await run.outcome()
    print(report.as_json(outcome) if options.json else report.as_text(outcome))
    return INTERRUPTED if run.stop.is_set() else int(bool(outcome.broken) or not outcome.is_whole)


def _progress(tally: Tally, standing: Standing) -> None:
    liars = "" if standing.liars_mean is None else f", liars stand at {standing.liars_mean:.1f}"
    line = f"{tally.ended:6} tasks: {tally.right} right, {tally.wrong} wrong, {tally.failed} failed{liars}"
    print(line, file=sys.stderr, flush=True)


async def _verifiers(folder: Path, options: argparse.Namespace) -> int:
    """The exit code."""
    idle, saturated = await measure(folder, options.seconds, options.turns)
    print("from submission to the solver's request, in milliseconds")
    print("verifiers    probes  median     p99    most   proofs checked a second   fewest waiting")
    for name, sample in (("idle", idle), ("saturated", saturated)):
        print(
            f"{name:10} {len(sample.probes_ms):8} {sample.median:7.2f} {sample.percentile(0.99):7.2f}"
            f" {max(sample.probes_ms):7.2f} {sample.proofs / sample.seconds:25.0f} {sample.waiting_least:16}"
        )
    ratio = saturated.percentile(0.99) / idle.percentile(0.99)
    print(f"p99 with all verifiers busy is {ratio:.2f} times the idle one; the aim is {RATIO_MAX:.0f} or less")
    return int(ratio > RATIO_MAX)


async def _killed(folder: Path, options: argparse.Namespace) -> int:
    """The exit code."""
    print("seconds from assignment to answer; beyond the undisturbed run and the second nobody was there")
    found = await killed.measure(folder, options.seconds, options.interval, _say)
    return int(any(story.excess > options.interval for story in found))


def _say(story: killed.Measured) -> None:
    print(f"{story.name:36} {story.seconds:8.2f} {story.excess:+8.2f}", flush=True)


if __name__ == "__main__":
    main()
