"""A proof as a file that anybody can check who knows the puzzle: JSON, without the puzzle itself."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from protocol.vault import MODULUS_BYTES_MAX, PROOF_BYTES_MAX
from vault_client.errors import FileError
from vault_client.files import PRIVATE, read_small, write_whole

KIND = "vault proof"
VERSION = "1"
PROOF_FILE_BYTES_MAX = 2**18

_SHAPES = {
    "format": re.compile(KIND),
    "version": re.compile(VERSION),
    "task": re.compile(r"[0-9a-f]{32}"),
    "solver": re.compile(r"[0-9a-f]{32}"),
    "answer": re.compile(rf"[0-9a-f]{{1,{2 * MODULUS_BYTES_MAX}}}"),
    "proof": re.compile(rf"([0-9a-f]{{2}}){{1,{PROOF_BYTES_MAX}}}"),
}


@dataclass(frozen=True, slots=True)
class ProofFile:
    """What a solver says of a task's answer, and its proof (docs/locked-file.md gives the file)."""

    task: str
    solver: str
    answer: int = field(repr=False)
    proof: bytes = field(repr=False)

    def write(self, path: Path, *, force: bool = False) -> None:
        """Write it, mode 0600, since it tells the answer. Raises FileError."""
        document = {
            "format": KIND,
            "version": VERSION,
            "task": self.task,
            "solver": self.solver,
            "answer": f"{self.answer:x}",
            "proof": self.proof.hex(),
        }
        write_whole(path, json.dumps(document, indent=2).encode() + b"\n", mode=PRIVATE, force=force)

    @classmethod
    def read(cls, path: Path) -> ProofFile:
        """Read what `write` wrote, whoever did. Raises FileError."""
        data = read_small(path, bytes_max=PROOF_FILE_BYTES_MAX)
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            raise _no_proof(path) from None
        if not isinstance(document, dict) or not all(_fits(document.get(name), name) for name in _SHAPES):
            raise _no_proof(path)
        answer, proof = int(document["answer"], 16), bytes.fromhex(document["proof"])
        return cls(document["task"], document["solver"], answer, proof)


def _fits(value: object, name: str) -> bool:
    return isinstance(value, str) and _SHAPES[name].fullmatch(value) is not None


def _no_proof(path: Path) -> FileError:
    return FileError(
        f"{path} is no {KIND} of version {VERSION}.", "Name a file that `vault-client status --save-proof` has written."
    )
