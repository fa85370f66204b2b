"""Pages that neither repeat nor skip while rows are added: a cursor names the place of the last line, and the question.

A cursor is opaque to whoever gets it; one that was made for another question, sort or filter is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from protocol.errors import Code
from vault_server.core.operation import Refusal, Row

T = TypeVar("T")

LINES_UNASKED = 20
ID_MAX = 2**63 - 1
HASH_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Lines, and where to go on; None: these were the last."""

    lines: tuple[T, ...]
    cursor: str | None

    @property
    def has_more(self) -> bool:
        """Whether there is another page."""
        return self.cursor is not None


def lines_of(limit: int | None) -> int:
    """Lines of this page."""
    return limit or LINES_UNASKED


def page(rows: Sequence[Row], limit: int | None, question: str, show: Callable[[Row], T], *place: str) -> Page[T]:
    """A page of `rows`, of which one more than its lines was fetched. `place`: the columns that order them."""
    count = lines_of(limit)
    kept = rows[:count]
    cursor = _cursor(question, [kept[-1][name] for name in place]) if len(rows) > count else None
    return Page(tuple(show(row) for row in kept), cursor)


def place(cursor: str | None, question: str, *first: int) -> tuple[int, ...]:
    """Behind which values the page begins; `first` without a cursor. Raises Refusal(INVALID_PARAMETER)."""
    if cursor is None:
        return first
    try:
        held = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _unusable() from None
    if not (isinstance(held, list) and len(held) == len(first) + 1 and held[0] == _hash(question)):
        raise _unusable()
    if not all(type(value) is int and 0 <= value <= ID_MAX for value in held[1:]):
        raise _unusable()
    return tuple(held[1:])


def _cursor(question: str, values: list[int]) -> str:
    text = json.dumps([_hash(question), *values], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def _hash(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:HASH_LENGTH]


def _unusable() -> Refusal:
    return Refusal(
        Code.INVALID_PARAMETER,
        "Field 'cursor' is of another question, sort or filter.",
        "Send the cursor of the page before with the same filters, or none to begin anew.",
    )
