"""Numbers from the command line, from a file (`@FILE`) or standard input (`-`): other users can read a command line."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import typer

from vault_client.errors import FileError
from vault_client.files import read_small

NUMBER_BYTES_MAX = 16_384

_HEX = re.compile(r"0[xX]([0-9a-fA-F]+)")
_DECIMAL = re.compile(r"[0-9]{1,4000}", re.ASCII)
_COMMITMENT = re.compile(r"(?:0[xX])?([0-9a-fA-F]{64})")


class Sources:
    """Reads values; standard input can be named once."""

    def __init__(self) -> None:
        self._stdin_taken = False

    def natural(self, option: str, given: str) -> int:
        """A natural number, decimal or 0x and hex digits. Raises typer.BadParameter, FileError."""
        text = self._text(option, given)
        if match := _HEX.fullmatch(text):
            return int(match[1], 16)
        if _DECIMAL.fullmatch(text):
            return int(text)
        raise typer.BadParameter(
            "it is no natural number; write decimal digits, or 0x and hex digits, or @FILE, or - for standard input",
            param_hint=option,
        )

    def commitment(self, option: str, given: str) -> bytes:
        """Thirty-two bytes in hex. Raises typer.BadParameter, FileError."""
        match = _COMMITMENT.fullmatch(self._text(option, given))
        if match is None:
            raise typer.BadParameter("it is not 64 hex digits (the SHA-256 of the answer)", param_hint=option)
        return bytes.fromhex(match[1])

    def _text(self, option: str, given: str) -> str:
        if given == "-":
            return self._stdin(option)
        data = read_small(Path(given[1:]), bytes_max=NUMBER_BYTES_MAX) if given.startswith("@") else given.encode()
        return _ascii(option, data)

    def _stdin(self, option: str) -> str:
        if self._stdin_taken:
            raise typer.BadParameter("standard input can bring one value only", param_hint=option)
        self._stdin_taken = True
        data = sys.stdin.buffer.read(NUMBER_BYTES_MAX + 1)
        if len(data) > NUMBER_BYTES_MAX:
            raise FileError("Standard input has too many bytes for a number.", "Check what you pipe into it.")
        return _ascii(option, data)


def _ascii(option: str, data: bytes) -> str:
    try:
        return data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise typer.BadParameter("it holds something else than digits", param_hint=option) from None
