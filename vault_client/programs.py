"""Somebody's program that does the work: started with a task on its standard input, read to its end, in time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Collection, Mapping, Sequence

from vault_client.errors import VaultClientError

OUTPUT_BYTES_MAX = 256 * 1024
"""Of a program's output, unless its caller says otherwise; a completion may have no more."""
STDERR_CHARACTERS = 300
"""Of what a program complains of, its end."""
END_SECONDS = 2.0
"""From SIGTERM to SIGKILL."""
READ_BYTES = 65_536


class ProgramFailed(VaultClientError):
    """The program could not be started, failed, said too much, or took too long."""


async def run_program(
    program: Sequence[str],
    given: bytes,
    *,
    seconds: float,
    environment: Mapping[str, str],
    without: Collection[str] = (),
    output_bytes_max: int = OUTPUT_BYTES_MAX,
) -> str:
    """What the program prints, without the last line break; it is given bytes on its standard input and has so long.

    `environment` is added to ours, less the names in `without`. Whatever it leaves behind in its process group is
    ended, also when this is cancelled. Raises ProgramFailed.
    """
    kept = {name: value for name, value in os.environ.items() if name not in without}
    try:
        process = await asyncio.create_subprocess_exec(
            *program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**kept, **environment},
            start_new_session=True,  # ctrl-C is for us: the program is ended with what it started
        )
    except OSError as error:
        raise ProgramFailed(
            f"Cannot run {program[0]!r}: {error.strerror}.", "Check its path and that it may be executed."
        ) from None
    try:
        async with asyncio.timeout(seconds):
            printed, complained = await _converse(process, given, output_bytes_max)
    except TimeoutError:
        raise ProgramFailed(
            f"{program[0]!r} took more than {seconds:.0f} s.", "Make it quicker, or ask less."
        ) from None
    finally:
        await _end(process)
    if len(printed) > output_bytes_max:
        raise ProgramFailed(
            f"{program[0]!r} printed more than {output_bytes_max} bytes.", f"Print at most {output_bytes_max}."
        )
    if process.returncode != 0:
        said = complained.decode(errors="replace").strip()[-STDERR_CHARACTERS:]
        raise ProgramFailed(f"{program[0]!r} ended with exit code {process.returncode}.", said or "It said nothing.")
    try:
        return printed.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise ProgramFailed(f"{program[0]!r} printed what is no UTF-8.", "Print text.") from None


async def _converse(process: asyncio.subprocess.Process, given: bytes, bytes_max: int) -> tuple[bytes, bytes]:
    """What it prints, at most one byte too much, and the end of what it complains of."""
    assert process.stdout is not None, "it was started with pipes"
    assert process.stderr is not None, "it was started with pipes"
    feeding = asyncio.create_task(_feed(process, given))
    complaining = asyncio.create_task(_end_of(process.stderr))
    try:
        printed = await _beginning_of(process.stdout, bytes_max + 1)
        if len(printed) > bytes_max:
            return printed, b""
        complained = await complaining
        await process.wait()
        return printed, complained
    finally:
        for task in (feeding, complaining):
            task.cancel()
        await asyncio.gather(feeding, complaining, return_exceptions=True)


async def _feed(process: asyncio.subprocess.Process, given: bytes) -> None:
    assert process.stdin is not None, "it was started with pipes"
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it does not read to the end
        process.stdin.write(given)
        await process.stdin.drain()
    process.stdin.close()


async def _beginning_of(stream: asyncio.StreamReader, bytes_max: int) -> bytes:
    read = bytearray()
    while len(read) < bytes_max and (piece := await stream.read(min(READ_BYTES, bytes_max - len(read)))):
        read += piece
    return bytes(read)


async def _end_of(stream: asyncio.StreamReader) -> bytes:
    read = b""
    while piece := await stream.read(READ_BYTES):
        read = (read + piece)[-4 * STDERR_CHARACTERS :]
    return read


async def _end(process: asyncio.subprocess.Process) -> None:
    """Make sure that nothing of it is left."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # what it started and did not wait for
    await _read_to_the_end(process)


async def _read_to_the_end(process: asyncio.subprocess.Process) -> None:
    """Its pipes close once their end has been read. Who has left its group may hold them, and is not waited for."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            for stream in (process.stdout, process.stderr):
                while stream is not None and await stream.read(READ_BYTES):
                    pass
