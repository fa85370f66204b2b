"""What the cluster's bench prints: medians as ratios to one node, what held the load back, and latencies."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Run:
    """One load of one cluster. Processor seconds are those used in each second of it."""

    tasks_per_second: float
    round_trips: float
    cpu: dict[str, float]
    wrong: int
    errors: dict[str, int]
    unanswered: int


def print_sizes(title: str, runs: dict[int, list[Run]]) -> None:
    """Medians of each size, and where the processors' time went."""
    print(f"\n{title}; {os.cpu_count()} processors for nodes, database and load together")
    middle: Callable[[list[float]], float] = statistics.median
    one = middle([run.tasks_per_second for run in runs[1]])
    for size, several in runs.items():
        rate = middle([run.tasks_per_second for run in several])
        cpu = {name: middle([run.cpu[name] for run in several]) for name in several[0].cpu}
        shares = ", ".join(f"{name} {share:.2f}" for name, share in cpu.items())
        bad = [
            f"{r.wrong} wrong, {r.unanswered} clients unanswered, {r.errors}"
            for r in several
            if r.wrong or r.unanswered or r.errors
        ]
        print(f"  {nodes_in_words(size)}: {rate:7.1f} tasks/s, {rate / one:4.2f} of one node; processors: {shares}")
        print(f"           {limit(sum(cpu.values()))}; refusals and wrong answers: {'; '.join(bad) or 'none'}")


def nodes_in_words(size: int) -> str:
    """So many of them."""
    return "1 node " if size == 1 else f"{size} nodes"


def is_bad(run: Run) -> bool:
    """Whether there is something to explain."""
    return bool(run.wrong or run.unanswered or run.errors)


def limit(busy: float) -> str:
    """What held the load back, by how busy the processors were with it."""
    share = busy / (os.cpu_count() or 1)
    cause = (
        "the processors limit it" if share > 0.8 else "waiting limits it: for the disk, the network or other programs"
    )
    return f"{share:.0%} of all processors: {cause}"


def print_latencies(name: str, seconds: list[float]) -> None:
    """Half and nearly all of them."""
    in_order = sorted(value * 1000 for value in seconds)
    p50, p99 = (in_order[min(len(in_order) - 1, int(len(in_order) * part))] for part in (0.5, 0.99))
    print(f"push to another node {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, of {len(in_order)}", flush=True)
