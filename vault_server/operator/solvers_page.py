"""The table of solvers, best first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from vault_server.operator.pages import STATE_STYLES, table

Solver = Mapping[str, Any]


def solvers_table(solvers: Iterable[Solver]) -> Table:
    """76 columns. `given` is capacity of what was announced; `hand` what it works on now."""
    numbers = "score band hand given taken valid"
    made = table("solver", "state", *numbers.split(), right=numbers, gap=1)
    made.columns[1].min_width = len("draining")  # columns stay where they are while states change
    for solver in solvers:
        state = solver["state"] if solver["is_online"] else "offline"
        made.add_row(
            solver["solver"],
            Text(state, STATE_STYLES.get(state, "")),
            f"{solver['score']:.2f}",
            str(solver["band"]),
            str(solver["in_hand"]),
            f"{solver['capacity']}/{solver['announced']}",
            str(solver["tasks_taken"]),
            str(solver["valid_answers"]),
            style="" if solver["is_online"] else "dim",
        )
    return made
