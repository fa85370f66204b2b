"""A place in a chain of squarings from which it can be gone on with. A puzzle's residues: never logged, never shown."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class State:
    """`done` squarings of the base give `value`; `kept` are (squarings, residue) passed on the way that a proof needs.

    Where all is done there may be the `proof` itself, which then has been verified, and needs nothing kept any more.
    Its repr shows none of them.
    """

    done: int = field(repr=False)
    value: int = field(repr=False)
    kept: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    proof: bytes = field(default=b"", repr=False)
