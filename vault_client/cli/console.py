"""What the commands print, and how they end: 0 well, 1 error, 2 wrong usage, 5 an answer that fails its check, 130
after ctrl-C or SIGTERM."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from vault_client.durations import format_duration
from vault_client.errors import (
    AnswerRejected,
    Banned,
    FileError,
    KeyRefused,
    NotAdmitted,
    NotProved,
    Refused,
    TaskConfused,
    VaultClientError,
)
from vault_client.files import file_error

INTERRUPTED = 130
NOT_PROVED = 5
"""An answer that fails its check; `complain` has 3 and 4."""

# No markup and no wrapping: file names hold brackets, and lines are copied from.
errors = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)


def say(line: str) -> None:
    """One line of a command's result, on standard output."""
    typer.echo(line)


def note(line: str) -> None:
    """One line about how things go, on standard error: it is no part of the result."""
    errors.print(line)


@contextmanager
def ending(*, as_json: bool = False, interrupted: Callable[[], str] | None = str) -> Iterator[None]:
    """Turn what a command raises into its last line and exit code; `interrupted` says what ctrl-C means here.

    With None that goes without saying.
    """
    try:
        yield
    except VaultClientError as error:
        _report(error, as_json)
        fails_check = isinstance(error, AnswerRejected | TaskConfused | NotProved)
        raise typer.Exit(NOT_PROVED if fails_check else 1) from None
    except OSError as error:
        if error.errno != errno.EPIPE:  # nobody reads on: nothing to say
            _report(file_error("write", Path("standard output"), error), as_json)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        if interrupted is not None:
            note(f"Interrupted. {interrupted()}".strip())
        raise typer.Exit(INTERRUPTED) from None


def _document(error: VaultClientError) -> dict[str, object]:
    told = {"message": error.message, "suggestion": error.suggestion}
    match error:
        case Refused(retryable=retryable, retry_after_ms=None):
            return {"code": error.code, **told, "retryable": retryable}
        case Refused(retryable=retryable):
            return {"code": error.code, **told, "retryable": retryable, "retry_after_ms": error.retry_after_ms}
        case Banned():
            return {"code": error.code, **told, "retryable": True, "retry_after_ms": round(error.seconds_left * 1_000)}
        case NotAdmitted() | KeyRefused():
            return {"code": error.code, **told, "retryable": False}
        case AnswerRejected() | TaskConfused():
            return {"code": "ANSWER_REJECTED", **told, "retryable": False}
        case NotProved():
            return {"code": "NOT_PROVED", **told, "retryable": False}
        case FileError():
            return {"code": "FILE", **told, "retryable": False}
        case _:
            return {"code": type(error).__name__, **told, "retryable": False}


def _report(error: VaultClientError, as_json: bool) -> None:
    if as_json:
        errors.print(json.dumps(_document(error)))
        return
    errors.print(f"error: {error.message}", style="red")
    errors.print(f"       {error.suggestion}")
    if isinstance(error, Refused) and error.retry_after_ms is not None:
        errors.print(f"       It can be tried again in {format_duration(error.retry_after_ms / 1000)}.")
