"""Somebody's program that answers or judges: started with a task on its standard input, read to its end, in time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from vault_client.errors import VaultClientError

OUTPUT_BYTES_MAX = 256 * 1024
"""Of a program's output; a completion may have no more."""
STDERR_CHARACTERS = 300
"""Of what a program complains of, its end."""
END_SECONDS = 2.0
"""From SIGTERM to SIGKILL."""


class ProgramFailed(VaultClientError):
    """The program could not be started, failed, said too much, or took too long."""


async def run_program(program: Sequence[str], given: bytes, *, seconds: float, environment: Mapping[str, str]) -> str:
    """What the program prints, without the last line break; it is given bytes on its standard input and has so long.

    `environment` is added to ours. Cancelling this ends the program. Raises ProgramFailed.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | environment,
            start_new_session=True,  # ctrl-C is for us: the program is ended with what it started
        )
    except OSError as error:
        raise ProgramFailed(
            f"Cannot run {program[0]!r}: {error.strerror}.", "Check its path and that it may be executed."
        ) from None
    try:
        async with asyncio.timeout(seconds):
            printed, complained = await process.communicate(given)
    except TimeoutError:
        raise ProgramFailed(
            f"{program[0]!r} took more than {seconds:.0f} s.", "Make it quicker, or ask less."
        ) from None
    finally:
        await _end(process)
    if process.returncode != 0:
        said = complained.decode(errors="replace").strip()[-STDERR_CHARACTERS:]
        raise ProgramFailed(f"{program[0]!r} ended with exit code {process.returncode}.", said or "It said nothing.")
    if len(printed) > OUTPUT_BYTES_MAX:
        raise ProgramFailed(f"{program[0]!r} printed {len(printed)} bytes.", f"Print at most {OUTPUT_BYTES_MAX}.")
    try:
        return printed.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise ProgramFailed(f"{program[0]!r} printed what is no UTF-8.", "Print text.") from None


async def _end(process: asyncio.subprocess.Process) -> None:
    """Make sure that nothing of it is left."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
