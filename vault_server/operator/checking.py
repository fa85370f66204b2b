"""`check`: every invariant of a database, one after the other, on one view of its rows.

It reads the file itself, also beside a running server: looking at all rows there is must not cost the server a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vault_server.core.operation import Invariant, System
from vault_server.exchange.cipher import Cipher, WrongMasterKey
from vault_server.exchange.invariants import names_are_known, sealed_values_open
from vault_server.exchange.master_keys import KeyStoreError
from vault_server.operator.failures import CannotLook
from vault_server.operator.node import Node
from vault_server.storage.database import StorageError
from vault_server.storage.opening import looking_at, soundness_of
from vault_server.storage.snapshot import violations

VIOLATIONS_SHOWN = 100
"""Of one invariant: who broke a thousand rows in one way need not read them all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one invariant says: nothing, when it holds."""

    invariant: str
    violations: Sequence[str]
    more: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """Everything that was looked at, and why something was not."""

    findings: Sequence[Finding]
    not_looked_at: Sequence[str]

    @property
    def broken(self) -> list[Finding]:
        """The findings that found something."""
        return [finding for finding in self.findings if finding.violations]


def check(node: Node, begins: Callable[[int, int, str], None]) -> Checked:
    """Look at all of it. `begins(number, of, name)` is called before each invariant. Raises CannotLook."""
    cipher, skipped = _cipher(node)
    invariants = [*soundness_of(node.database), *_invariants(node.systems(cipher), cipher)]
    findings = []
    try:
        with looking_at(node.database) as reader:
            for number, invariant in enumerate(invariants, 1):
                begins(number, len(invariants), invariant.name)
                found = violations(reader, invariant, VIOLATIONS_SHOWN + 1)
                more = len(found) > VIOLATIONS_SHOWN
                findings.append(Finding(invariant.name, found[:VIOLATIONS_SHOWN], more))
    except StorageError as error:
        raise CannotLook(str(error)) from None
    return Checked(findings, skipped)


def _cipher(node: Node) -> tuple[Cipher | None, list[str]]:
    try:
        return node.cipher(), []
    except (KeyStoreError, WrongMasterKey) as error:
        return None, [f"whether sealed values open: {error}"]


def _invariants(systems: Sequence[System], cipher: Cipher | None) -> Iterator[Invariant]:
    yield from names_are_known(systems)
    for system in systems:
        yield from system.invariants
    if cipher is not None:
        yield from sealed_values_open(cipher, [column for system in systems for column in system.sealed])
