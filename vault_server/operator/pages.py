"""How pages of text look: tables without lines, as wide as the terminal, or as a reader of a file can expect."""

from __future__ import annotations

import sys

import typer
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

PLAIN_WIDTH = 120
"""Where standard output is no terminal, lines are not cut to what a terminal would have had."""
WIDE = 110
"""From here on there is room for whole fingerprints everywhere."""
SHORT = 16
"""Digits of a fingerprint where there is not: enough to be unique, and every command takes a beginning of a task's."""

STATE_STYLES = {
    "answered": "green",
    "settled": "green",
    "scored": "green",
    "valid": "green",
    "upheld": "green",
    "ready": "green",
    "failed": "red",
    "invalid": "red",
    "expired": "red",
    "rejected": "yellow",
    "unproved": "yellow",
    "undecided": "yellow",
    "draining": "yellow",
    "offline": "dim",
    "released": "dim",
    "cancelled": "dim",
}


def page() -> Console:
    """Standard output: colours on a terminal, plain text elsewhere."""
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(markup=False, highlight=False, emoji=False, width=width)


def show(console: Console, body: RenderableType) -> None:
    """Print a page without the blanks that fill its lines."""
    with console.capture() as captured:
        console.print(body)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def table(*columns: str, right: str = "", gap: int = 2) -> Table:
    """Columns by their headings, `gap` blanks between them; those named in `right` hold numbers."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right.split() else "left", no_wrap=True, overflow="fold")
    return made


def short(fingerprint: str, console: Console) -> str:
    """As much of a fingerprint as there is room for."""
    return fingerprint if console.width >= WIDE else fingerprint[:SHORT]
