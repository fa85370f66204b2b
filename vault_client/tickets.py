"""The ticket of a locked file: who holds it has the puzzle solved without anybody learning the answer (design §8)."""

from __future__ import annotations

import math
from pathlib import Path

from protocol.puzzle import Ticket
from vault_client.companion import damaged, read_companion, read_natural, write_companion
from vault_client.locked_header import Header

KIND = "vault ticket"
VERSION = 1


def ticket_path(locked: Path) -> Path:
    """FILE.ticket for FILE.locked."""
    return locked.with_suffix(".ticket") if locked.suffix == ".locked" else locked.with_name(locked.name + ".ticket")


def write_ticket(path: Path, header: Header, ticket: Ticket, *, force: bool = False) -> None:
    """Write a ticket for one locked file, mode 0600. Raises FileError."""
    values = {
        "locked_file": header.digest.hex(),
        "base_root": f"{ticket.base_root:x}",
        "base_root_inverse_power": f"{ticket.base_root_inverse_power:x}",
    }
    write_companion(path, KIND, VERSION, values, force=force)


def read_ticket(path: Path, header: Header) -> Ticket:
    """Read the ticket of this locked file. Raises FileError, TooNew, Damaged, WrongFile."""
    values = read_companion(path, KIND, VERSION, header)
    root = read_natural(path, KIND, values, "base_root")
    inverse = read_natural(path, KIND, values, "base_root_inverse_power")
    ticket = Ticket(root, inverse)
    if not (root_blinds(ticket, header.puzzle.modulus) and 0 < inverse < header.puzzle.modulus):
        raise damaged(path, KIND)
    return ticket


def root_blinds(ticket: Ticket, modulus: int) -> bool:
    """Whether powers of its root hide anything: it is neither 0 nor ±1, and coprime to the modulus."""
    return 1 < ticket.base_root < modulus - 1 and math.gcd(ticket.base_root, modulus) == 1
