"""What the operator's commands share: options, and how they print."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database", metavar="FILE", help="The server's SQLite file or postgresql:// URL; VAULT_DATABASE.  [vault.db]"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
FingerprintArgument = Annotated[str, typer.Argument(metavar="FINGERPRINT", help="The key's 32 hex digits.")]

_errors = Console(stderr=True, markup=False, highlight=False, emoji=False)


def print_json(document: Any) -> None:
    """An answer as it came."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def progress(line: str) -> None:
    """One line on standard error that the next one replaces; nothing where nobody looks."""
    if _errors.is_terminal:
        typer.echo(f"\r\x1b[K{line[: _errors.width - 1]}", err=True, nl=False)
