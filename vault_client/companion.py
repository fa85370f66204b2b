"""The small files that stand beside a locked file: JSON with a format, a version, the file it is for, and a checksum.

They hold secrets: always written with mode 0600, never shown in an error.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from vault_client.errors import Damaged, FileError, TooNew, WrongFile
from vault_client.files import PRIVATE, read_small, write_whole
from vault_client.locked_header import Header

COMPANION_BYTES_MAX = 65_536

_HEX = re.compile(r"[0-9a-f]{1,4096}")


def checksum(values: Mapping[str, str]) -> str:
    """SHA-256 in hex of the lines `name=value`, in the order of their names, each ended by a line feed, in UTF-8."""
    lines = "".join(f"{name}={values[name]}\n" for name in sorted(values))
    return hashlib.sha256(lines.encode()).hexdigest()


def write_companion(path: Path, kind: str, version: int, values: Mapping[str, str], *, force: bool) -> None:
    """Write one with its checksum. Raises FileError."""
    document = {"format": kind, "version": str(version), **values}
    document["checksum"] = checksum(document)
    write_whole(path, json.dumps(document, indent=2).encode() + b"\n", mode=PRIVATE, force=force)


def read_companion(path: Path, kind: str, version: int, header: Header) -> dict[str, str]:
    """Its values, once it is in order and belongs to the locked file of this header.

    Raises FileError, TooNew, Damaged, WrongFile.
    """
    document = _parse(path, kind, read_small(path, bytes_max=COMPANION_BYTES_MAX, private=True))
    found = document.get("version", "")
    if found != str(version) and found.isdecimal():
        raise TooNew(
            f"{path} has version {found} of the {kind}; this program reads version {version}.",
            "Install a newer vault-client; the file is left as it is.",
        )
    if document.pop("checksum", None) != checksum(document):
        raise damaged(path, kind)
    if document.get("locked_file") != header.digest.hex():
        raise WrongFile(f"{path} is a {kind} for another locked file.", "Name the one that belongs to this file.")
    return document


def _parse(path: Path, kind: str, data: bytes) -> dict[str, str]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise damaged(path, kind) from None
    # Printable, since errors and notices show some of them: nothing of a planted file steers a terminal.
    if not isinstance(document, dict) or not all(isinstance(v, str) and v.isprintable() for v in document.values()):
        raise damaged(path, kind)
    if document.get("format") != kind:
        raise FileError(f"{path} is no {kind}.", f"Name a {kind}.")
    return document


def read_natural(path: Path, kind: str, values: Mapping[str, str], name: str) -> int:
    """A big natural in lower-case hex. Raises Damaged."""
    text = values.get(name, "")
    if not _HEX.fullmatch(text):
        raise damaged(path, kind)
    return int(text, 16)


def damaged(path: Path, kind: str) -> Damaged:
    """What is raised for a file that is not as it was written."""
    return Damaged(f"The {kind} {path} has been changed or damaged.", "Fetch another copy of it, or do without it.")
