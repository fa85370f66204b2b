"""What `explain subnet:TASK` prints: who asked, who answered, who judged, and whose score moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vault_server.operator.pages import SHORT, STATE_STYLES, short, table
from vault_server.operator.times import moment, second, span

PREFIX = "subnet:"
"""Tasks of the subnet have numbers; with this before it a number is one of them."""

WIDE = 136
"""From here on a line of votes or completions has room for a whole hotkey; `--json` always tells it."""

Explained = Mapping[str, Any]


def subnet_page(task: Explained, console: Console) -> Group:
    """The whole page for a console of this width."""
    return Group(*_parts(task, console))


def _parts(task: Explained, console: Console) -> Iterator[RenderableType]:
    status = Text(task["status"], STATE_STYLES.get(task["status"], ""))
    yield Text.assemble((f"Subnet task {task['task']} ", "bold"), f"({task['task_type']}) is ", status)
    yield Padding(_facts(task), (0, 0, 0, 2))
    for heading, rows in (
        ("Completions", _completions(task, console)),
        ("Votes", _votes(task, console)),
        ("Scores that moved", _scores(task, console)),
    ):
        if rows.row_count:
            yield Text()
            yield Text(heading, "bold")
            yield Padding(rows, (0, 0, 0, 2))


def _facts(task: Explained) -> Table:
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column()
    made.add_row("validator", task["validator"])
    made.add_row("miner", task["miner"] + ("" if task["blames_miner"] else " (not blamed if it expires)"))
    made.add_row("created", f"{moment(task['created_at'])} UTC")
    made.add_row(
        "to be answered by", f"{second(task['expire_at'])}, {span(task['expire_at'] - task['created_at'])} later"
    )
    for name, at in (("answered", task["submitted_at"]), ("scored", task["scored_at"])):
        if at is not None:
            made.add_row(name, f"{moment(at)}, {span(at - task['created_at'])} after it was created")
    if task["status"] == "submitted":
        made.add_row(
            "voting closes", f"{second(task['voting_closes_at'])}; {task['asked']} are asked and have not voted"
        )
    if task["status"] in ("expired", "cancelled"):
        made.add_row(task["status"], moment(task["updated_at"]))
    return made


def _completions(task: Explained, console: Console) -> Table:
    made = table("number", "side", "by", "characters of JSON", "at", right="number")
    made.columns[3].justify = "right"
    for row in task["completions"]:
        by, length = _hotkey(row["by"], console), f"{row['json_characters']:,}"
        made.add_row(str(row["completion"]), row["side"], by, length, moment(row["at"]))
    return made


def _hotkey(hotkey: str, console: Console) -> str:
    return hotkey if console.width >= WIDE else hotkey[:SHORT]


def _votes(task: Explained, console: Console) -> Table:
    made = table("voter", "for", "weight", "at", "changed", right="weight")
    for row in task["votes"]:
        changed = "" if row["changed_at"] is None else moment(row["changed_at"])
        voter = _hotkey(row["voter"], console)
        made.add_row(voter, row["chosen"], f"{row['weight']:.4f}", moment(row["at"]), changed)
    return made


def _scores(task: Explained, console: Console) -> Table:
    made = table("participant", "change", "after", "reason", right="change after")
    for row in task["scores"]:
        style = "green" if row["change"] > 0 else "red"
        change = Text(f"{row['change']:+.6f}", style)
        made.add_row(short(row["hotkey"], console), change, f"{row['after']:.6f}", row["reason"])
    made.columns[-1].no_wrap = False
    return made
