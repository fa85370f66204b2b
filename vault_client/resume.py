"""What `unlock` writes down before it asks, so that it can go on after ctrl-C, a crash or a full disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from vault_client.answers import ProofWish
from vault_client.companion import damaged, read_companion, read_natural, write_companion
from vault_client.locked_header import Header

KIND = "vault resume file"
VERSION = 1
BLINDING_BITS_OVER = 64


@dataclass(frozen=True, slots=True)
class Resume:
    """One wait for an answer. `blinding` is None when the puzzle is sent as it is; `task` until it is accepted.

    The blinding is secret: with the ticket and the server's answer it opens the file.
    """

    server: str
    client: str
    idempotency_key: str
    blinding: int | None = field(repr=False)
    task: str | None = None
    proof: ProofWish = "required"


def resume_path(locked: Path) -> Path:
    """FILE.locked.resume for FILE.locked."""
    return locked.with_name(locked.name + ".resume")


def write_resume(path: Path, header: Header, resume: Resume) -> None:
    """Write, or replace in one step, mode 0600. Raises FileError."""
    values = {
        "locked_file": header.digest.hex(),
        "server": resume.server,
        "client": resume.client,
        "idempotency_key": resume.idempotency_key,
    }
    if resume.blinding is not None:
        values["blinding"] = f"{resume.blinding:x}"
    if resume.task is not None:
        values["task"] = resume.task
    if resume.proof != "required":
        values["proof"] = resume.proof
    write_companion(path, KIND, VERSION, values, force=True)


def read_resume(path: Path, header: Header) -> Resume | None:
    """The wait that was begun for this locked file, or None. Raises FileError, TooNew, Damaged, WrongFile."""
    if not os.path.exists(path):
        return None
    values = read_companion(path, KIND, VERSION, header)
    blinding = read_natural(path, KIND, values, "blinding") if "blinding" in values else None
    if blinding is not None and not blinding_is_long(blinding, header.puzzle.modulus):
        raise damaged(path, KIND)
    if values.get("proof", "none") != "none":
        raise damaged(path, KIND)
    proof: ProofWish = "none" if "proof" in values else "required"
    try:
        return Resume(
            values["server"], values["client"], values["idempotency_key"], blinding, values.get("task"), proof
        )
    except KeyError:
        raise damaged(path, KIND) from None


def blinding_is_long(blinding: int, modulus: int) -> bool:
    """Whether it can be one that was drawn below N·2^128: a shorter one was planted (a drawn one is with 2^-64)."""
    return blinding.bit_length() >= modulus.bit_length() + BLINDING_BITS_OVER
