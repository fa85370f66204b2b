"""What the commands print, and how they end: 0 well, 1 error, 2 wrong usage, 130 after ctrl-C or SIGTERM."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from vault_client.errors import FileError, Refused, VaultClientError
from vault_client.files import file_error

INTERRUPTED = 130

# No markup and no wrapping: file names hold brackets, and lines are copied from.
errors = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)


def say(line: str) -> None:
    """One line of a command's result, on standard output."""
    typer.echo(line)


def note(line: str) -> None:
    """One line about how things go, on standard error: it is no part of the result."""
    errors.print(line)


@contextmanager
def ending(*, as_json: bool = False, interrupted: Callable[[], str] = str) -> Iterator[None]:
    """Turn what a command raises into its last line and exit code; `interrupted` says what ctrl-C means here."""
    try:
        yield
    except VaultClientError as error:
        _report(error, as_json)
        raise typer.Exit(1) from None
    except OSError as error:
        if error.errno != errno.EPIPE:  # nobody reads on: nothing to say
            _report(file_error("write", Path("standard output"), error), as_json)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        note(f"Interrupted. {interrupted()}".strip())
        raise typer.Exit(INTERRUPTED) from None


def _report(error: VaultClientError, as_json: bool) -> None:
    if as_json:
        refused = error if isinstance(error, Refused) else None
        code = refused.code if refused else "FILE" if isinstance(error, FileError) else type(error).__name__
        document = {
            "code": code,
            "message": error.message,
            "suggestion": error.suggestion,
            "retryable": refused is not None and refused.retryable,
        }
        errors.print(json.dumps(document))
        return
    errors.print(f"error: {error.message}", style="red")
    errors.print(f"       {error.suggestion}")
