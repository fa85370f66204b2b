"""How an operator's command ends when it cannot do what it was asked, and with which exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

REFUSED, CANNOT_LOOK, INTERRUPTED = 1, 2, 130


class OperatorError(Exception):
    """Root of what these commands say on standard error: what is wrong; what to do. `code` is the exit code."""

    code = REFUSED


class Refused(OperatorError):
    """The server, or the database, has an answer, and it is no."""


class WrongUsage(OperatorError):
    """An option or argument that means nothing."""

    code = 2


class CannotLook(OperatorError):
    """There is no server to ask, or no database to look at."""

    code = CANNOT_LOOK


class ServerGone(CannotLook):
    """The server has hung up."""


@contextmanager
def ending(*, interrupted: int = INTERRUPTED) -> Iterator[None]:
    """Turn what a command raises into its last line and exit code; a reader that has gone away is no news."""
    try:
        yield
        sys.stdout.flush()
    except OperatorError as error:
        typer.echo(f"vault-server: {error}", err=True)
        raise typer.Exit(error.code) from None
    except KeyboardInterrupt:
        raise typer.Exit(interrupted) from None
    except OSError as error:
        if error.errno != errno.EPIPE:
            typer.echo(f"vault-server: cannot write to standard output: {error.strerror}", err=True)
            raise typer.Exit(REFUSED) from None
        with suppress(OSError):  # what is still buffered goes nowhere, without a word at the interpreter's end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
