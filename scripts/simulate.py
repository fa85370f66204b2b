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

from tests.simulation import report
from tests.simulation.conduct import KINDS
from tests.simulation.liars import Outcome, Run
from tests.simulation.peers import Tally
from tests.simulation.records import Standing
from tests.simulation.shape import Shape

INTERRUPTED = 130

LIARS = """
Starts a server, clients that know the factors of their puzzles, and solvers of whom a share lies. Every answer is
compared; scores, blame and assignments are read from the database at the end.

kinds of liars:
  guessing   a random answer without a proof       garbage    a random answer with bytes that look like a proof
  negating   N - y with the honest proof of y      breaking   the right answer with a proof that is wrong somewhere
  copying    another solver's answer and proof     silent     accepts and never answers
  slow       right, after the deadline             colluding  pairs that agree on a lie and prove it as well as they can
  sleeping   right until trusted, then any of these

examples:
  scripts/simulate liars --share 0.6                            three solvers in five lie, each kind as often
  scripts/simulate liars --share 0.3 --kinds colluding --proof none
                                                                without proofs: colluding pairs do get lies through
  scripts/simulate liars --share 0.95 --tasks 200 --json        a shorter run, for a program to read

exit code: 0 when no wrong answer was delivered, no honest solver blamed, the database is sound and, up to 60 % liars,
at least 99 % of the tasks were answered rightly; 1 when not; 130 when it was interrupted (what is known is shown).
"""


def main() -> None:
    """Run one simulation, say what came of it, and exit with what that means."""
    options = parser().parse_args()
    outcome, was_interrupted = asyncio.run(_simulate(_shape(options)))
    print(report.as_json(outcome) if options.json else report.as_text(outcome))
    sys.exit(INTERRUPTED if was_interrupted else int(bool(outcome.broken) or not outcome.is_whole))


def parser() -> argparse.ArgumentParser:
    """What may be asked for."""
    parser = argparse.ArgumentParser(
        prog="scripts/simulate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    liars = parser.add_subparsers(required=True, metavar="liars").add_parser(
        "liars",
        help="a fleet of which a share lies",
        description=LIARS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = Shape(0.0)
    liars.add_argument("--share", type=_share, default=0.6, help="part of the solvers that lie (default: %(default)s)")
    liars.add_argument("--tasks", type=int, default=default.tasks, help="tasks in all (default: %(default)s)")
    liars.add_argument("--solvers", type=int, default=default.solvers, help="solvers in all (default: %(default)s)")
    liars.add_argument("--clients", type=int, default=default.clients, help="clients (default: %(default)s)")
    liars.add_argument(
        "--under-way", type=int, default=default.under_way, help="tasks each client keeps open (default: %(default)s)"
    )
    liars.add_argument(
        "--work-ms",
        type=int,
        default=default.work_ms,
        help="time honest work takes; lies take none (default: %(default)s)",
    )
    liars.add_argument("--kinds", type=_kinds, default=default.kinds, help="kinds of liars, with commas (default: all)")
    liars.add_argument("--seed", type=int, default=default.seed, help="rules who lies when, not the network's timing")
    liars.add_argument("--proof", choices=("required", "none"), default="required", help="what clients ask for")
    liars.add_argument("--json", action="store_true", help="print the whole outcome as JSON")
    return parser


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


def _shape(options: argparse.Namespace) -> Shape:
    return Shape(
        share=options.share,
        tasks=options.tasks,
        solvers=options.solvers,
        clients=options.clients,
        under_way=options.under_way,
        work_ms=options.work_ms,
        kinds=options.kinds,
        seed=options.seed,
        proof=options.proof,
    )


async def _simulate(shape: Shape) -> tuple[Outcome, bool]:
    """The outcome, and whether somebody cut it short."""
    with tempfile.TemporaryDirectory(prefix="vault-simulate-") as folder:
        run = Run(Path(folder), shape, _progress, {})
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, run.stop.set)
        return await run.outcome(), run.stop.is_set()


def _progress(tally: Tally, standing: Standing) -> None:
    liars = "" if standing.liars_mean is None else f", liars stand at {standing.liars_mean:.1f}"
    line = f"{tally.ended:6} tasks: {tally.right} right, {tally.wrong} wrong, {tally.failed} failed{liars}"
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
