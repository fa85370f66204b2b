"""How a puzzle will be proved: which residues are kept on the way, what that costs, and what a state is still worth.

Keeping 2^depth residues saves squarings at the end and costs powers, memory and stops (protocol/prover.py). The stops
are where blocks end anyway, so depth and blocks are chosen together. Pure numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from protocol.proof import LAST_SQUARINGS, rounds
from protocol.prover import KEPT_BYTES_MAX, POWER_SQUARINGS, kept_indices
from vault_solver.blocks import CHECKED_MIN, block_cost, block_squarings, check_share
from vault_solver.squaring import CHECK_SECONDS
from vault_solver.state import State


@dataclass(frozen=True, slots=True)
class Plan:
    """Keep 2^depth residues; with `is_proved` the answer goes with a proof for `task` and `solver` (32 hex digits)."""

    task: str
    solver: str
    depth: int
    is_proved: bool


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans for one solver, whose kept residues may have `kept_bytes_max` bytes for each puzzle."""

    solver: str = "0" * 32
    kept_bytes_max: int = KEPT_BYTES_MAX
    check_seconds: float = CHECK_SECONDS

    def plan(self, task: str, squarings: int, bits: int, *, is_proved: bool) -> Plan | None:
        """None where nothing is ever proved. What needs no proof now may need one when somebody complains of it."""
        if squarings <= LAST_SQUARINGS or not (is_proved or squarings >= CHECKED_MIN):
            return None
        depth = best_depth(squarings, bits, self.kept_bytes_max, self.check_seconds)
        return Plan(task, self.solver, depth, is_proved)

    def is_short(self, squarings: int, bits: int) -> bool:
        """Whether a proof would cost less if more residues could be kept."""
        depth = best_depth(squarings, bits, self.kept_bytes_max, self.check_seconds)
        return depth < best_depth(squarings, bits, 2**40, self.check_seconds)


def best_depth(squarings: int, bits: int, kept_bytes_max: int, check_seconds: float = CHECK_SECONDS) -> int:
    """The depth for which squaring and proof together cost least.

    At 2048 bits and 30 seconds: 6 for t = 10^6, 7 for 10^7, 8 for 3·10^7, 11 for 10^9.
    """
    width = (bits + 7) // 8
    fitting = [depth for depth in range(rounds(squarings) + 1) if width << depth <= kept_bytes_max]
    return min(fitting or [0], key=lambda depth: overhead(squarings, bits, depth, check_seconds))


def overhead(squarings: int, bits: int, depth: int, check_seconds: float = CHECK_SECONDS) -> float:
    """What blocks, checks and the proof add to a puzzle's squarings, in squarings."""
    gap = (squarings - LAST_SQUARINGS) >> depth
    block = block_squarings(squarings, bits, check_seconds, gap=max(1, gap), is_end_proved=True)
    checks = block * check_share(squarings, bits, check_seconds, is_end_proved=True)
    return squarings * (block_cost(block) + checks) + proof_squarings(squarings, depth)


def proof_squarings(squarings: int, depth: int) -> int:
    """What making a proof costs, in squarings, from 2^depth kept residues: nearly a power for each, and one gap."""
    powers = (1 << depth) - 1 - depth + rounds(squarings)
    return powers * POWER_SQUARINGS + ((squarings - LAST_SQUARINGS) >> depth)


def usable_depth(squarings: int, depth: int, state: State) -> int | None:
    """The deepest plan, up to this one, for which a state has kept everything that lies behind it; None without any."""
    kept = {mark for mark, _ in state.kept}
    for shallower in range(min(depth, rounds(squarings)), -1, -1):
        if all(mark in kept for mark in kept_indices(squarings, shallower) if mark <= state.done):
            return shallower
    return None


def squarings_left(squarings: int, plan: Plan | None, state: State) -> int:
    """What is still to be done from a state, its proof included, in squarings."""
    left = squarings - state.done
    if plan is None or not plan.is_proved or state.proof:
        return left
    depth = usable_depth(squarings, plan.depth, state)
    if depth is None:
        return squarings + proof_squarings(squarings, plan.depth)
    return left + proof_squarings(squarings, depth)


def is_worth(squarings: int, plan: Plan | None, state: State) -> bool:
    """Whether going on from a state is quicker than beginning anew: it may lack what a proof needs."""
    return squarings_left(squarings, plan, state) < squarings_left(squarings, plan, State(0, 1))


def seconds_for(squarings: float, bits: int, speeds: Mapping[str, int]) -> float:
    """How long that takes at these speeds: squarings a second by modulus bits, none of them below `bits`."""
    speed = next((speed for size, speed in speeds.items() if int(size) >= bits), 0)
    return squarings / max(speed, 1)
