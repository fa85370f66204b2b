"""Texts that a command is given: themselves, a file's content, or what comes on standard input."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from vault_client.files import file_error


def given_text(option: str, given: str) -> str:
    """What an argument means: itself, @FILE or - for standard input. Raises FileError, BadParameter."""
    if given == "-":
        return sys.stdin.read().removesuffix("\n")
    if not given.startswith("@"):
        return given
    path = Path(given[1:])
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except OSError as error:
        raise file_error("read", path, error) from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{option}: {path} holds no UTF-8 text") from None
