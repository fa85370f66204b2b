"""One puzzle in a worker: squared, proved if its plan says so, and stopped when that is ordered. Opens nothing."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from gmpy2 import powmod

from protocol.proof import BadProof, Statement
from protocol.prover import Power, kept_indices
from protocol.puzzle import Puzzle
from vault_solver.blocks import CHECKED_MIN
from vault_solver.gerbicz import Square
from vault_solver.pipe import (
    Cancel,
    Dropped,
    Erred,
    Line,
    Miscomputed,
    Misproved,
    Progressed,
    Proving,
    Solve,
    Solved,
    Squared,
    Suspend,
    Verified,
)
from vault_solver.plan import Plan, usable_depth
from vault_solver.proving import InPieces, last_sound, prove_and_verify
from vault_solver.squaring import REPEATS_MAX, MachineErrs, Squaring
from vault_solver.state import State

PROGRESS_SECONDS = 1.0


class Stopped(Exception):
    """The order to stop has come."""


class Solving:
    """`run` once. `say` what there is to report; `stops` tells whether this assignment is to stop, and how."""

    def __init__(
        self,
        order: Solve,
        say: Callable[[Line], None],
        stops: Callable[[int], Cancel | Suspend | None],
        square: Square,
        check_seconds: float,
        power: Power = powmod,
    ) -> None:
        self._order = order
        self._number = order.assignment
        self._say, self._stops = say, stops
        self._square, self._check_seconds, self._power = square, check_seconds, power
        self._told_at = monotonic()

    def run(self) -> Line:
        """The last word on this order."""
        plan = self._order.plan
        try:
            if plan is not None and plan.is_proved:
                return self._solve_and_prove(plan, self._order.state)
            return Solved(self._number, self._squared(self._order.state).value)
        except Stopped:
            return Dropped(self._number)
        except MachineErrs:
            return Miscomputed(self._number)

    def _solve_and_prove(self, plan: Plan, start: State | None) -> Solved:
        order = self._order
        statement = Statement(Puzzle(order.squarings, order.base, order.modulus), plan.task, plan.solver)
        for attempt in range(REPEATS_MAX + 1):
            end = self._squared(start)
            try:
                proved = prove_and_verify(statement, end, self._in_pieces(plan, end), self._power)
            except BadProof:
                self._say(Misproved(self._number))
                # The second time nothing that was kept is believed: who relayed it may know the factors of N.
                sound = last_sound(order.base, order.modulus, end.kept, self._in_pieces(plan, end))
                start = State(0, order.base) if attempt else sound
                self._say(Verified(self._number, start))
            else:
                return Solved(self._number, proved.answer, proved.proof)
        raise MachineErrs

    def _squared(self, start: State | None) -> State:
        """The end of the squarings. Raises Stopped, MachineErrs."""
        order, plan = self._order, self._order.plan
        if start is not None and start.done == order.squarings:
            return start
        squaring = Squaring(
            order.base,
            order.squarings,
            order.modulus,
            start=start,
            marks=() if plan is None else kept_indices(order.squarings, plan.depth),
            is_end_proved=plan is not None and plan.is_proved,
            check_seconds=self._check_seconds,
            square=self._square,
        )
        while True:
            self._tell(squaring, squaring.advance)
            if squaring.finished:
                break
            stop = self._stops(self._number)
            if isinstance(stop, Suspend):
                self._tell(squaring, squaring.check)
            if stop is not None:
                raise Stopped
            self._report(lambda: Progressed(self._number, squaring.done))
        if plan is not None and order.squarings >= CHECKED_MIN:
            self._say(Squared(self._number, squaring.end))
        return squaring.end

    def _tell(self, squaring: Squaring, act: Callable[[], None]) -> None:
        """Do it, and say what it has found out."""
        errors, verified = squaring.errors, squaring.verified
        try:
            act()
        finally:
            if squaring.errors > errors:
                self._say(Erred(self._number))
        if squaring.verified is not verified and not squaring.finished:
            self._say(Verified(self._number, squaring.verified))

    def _in_pieces(self, plan: Plan, end: State) -> Square:
        """The squarings of a proof. They raise Stopped."""
        squarings = self._order.squarings
        total, done = max(1, squarings >> (usable_depth(squarings, plan.depth, end) or 0)), 0

        def look(piece: int) -> None:
            nonlocal done
            done += piece
            if self._stops(self._number) is not None:
                raise Stopped
            self._report(lambda: Proving(self._number, min(done, total), total))

        return InPieces(self._square, look)

    def _report(self, progress: Callable[[], Line]) -> None:
        if monotonic() - self._told_at >= PROGRESS_SECONDS:
            self._told_at = monotonic()
            self._say(progress())
