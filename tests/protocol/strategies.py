"""Hypothesis strategies drawn from the messages' own shapes: whatever the catalogue lists is generated here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import hypothesis.strategies as st

from protocol.envelope import Envelope, Kind, Message
from protocol.fields import (
    INTEGER_MAX,
    Choice,
    Counts,
    Field,
    Flag,
    HexKey,
    Integer,
    Natural,
    Number,
    Octets,
    Text,
    Word,
    Words,
)
from protocol.json_text import JsonText, canonical
from protocol.records import FieldSpec, Record, Records

NUMBERS = st.integers(0, INTEGER_MAX)
ENCODABLE = st.characters(exclude_categories=["Cs"])
"""No surrogates: they have no UTF-8."""


def values(field: Field) -> st.SearchStrategy[Any]:
    """Every value that a field may have."""
    match field:
        case Natural(bytes_max):
            largest = 256**bytes_max - 1
            return st.integers(0, min(2**64, largest)) | st.integers(0, largest)
        case Octets(bytes_min, bytes_max):
            return st.binary(min_size=bytes_min, max_size=bytes_max)
        case Integer(minimum, maximum):
            return st.integers(minimum, maximum)
        case Number(minimum, maximum):
            return st.floats(minimum, maximum, allow_nan=False, allow_infinity=False)
        case Flag():
            return st.booleans()
        case Text(length_max, length_min):
            return printable(length_min, length_max)
        case Word(length_max):
            return st.text("aZ09_.-", min_size=1, max_size=length_max)
        case Words(words):
            return st.lists(st.sampled_from(words), unique=True).map(tuple)
        case JsonText(_, only_object):
            return (json_objects() if only_object else json_values()).map(canonical)
        case Choice(words):
            return st.sampled_from(words)
        case HexKey(digits):
            return st.binary(min_size=digits // 2, max_size=digits // 2).map(bytes.hex)
        case Records(kind, entries_max):
            return st.lists(records(kind), max_size=min(entries_max, 3)).map(tuple)
        case Counts(entries_max, key_length_max):
            return st.dictionaries(printable(1, key_length_max), NUMBERS, max_size=min(entries_max, 5))
    raise AssertionError(f"no strategy for {field!r}: a new kind of field needs one")


def json_values() -> st.SearchStrategy[Any]:
    """JSON values other than null."""
    text = st.text(ENCODABLE, max_size=12)
    plain = st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | text
    nested = st.recursive(
        plain | st.none(),
        lambda inside: st.lists(inside, max_size=3) | st.dictionaries(text, inside, max_size=3),
        max_leaves=8,
    )
    return nested.filter(lambda value: value is not None)


def json_objects() -> st.SearchStrategy[Any]:
    """JSON maps."""
    return st.dictionaries(st.text(ENCODABLE, max_size=8), json_values(), max_size=3)


def printable(length_min: int, length_max: int) -> st.SearchStrategy[str]:
    """Strings of printable characters; mostly short, now and then as long as they may be."""
    characters = st.characters(exclude_categories=("C", "Z")) | st.just(" ")
    short = st.text(characters, min_size=length_min, max_size=min(length_max, length_min + 12))
    return short.filter(str.isprintable) | st.sampled_from(["x" * length_max, "é" * length_max])


def named(specs: Iterable[FieldSpec]) -> st.SearchStrategy[dict[str, Any]]:
    """Values for all fields, the optional ones there or absent."""
    return st.fixed_dictionaries(
        {spec.name: (st.none() | values(spec.field)) if spec.optional else values(spec.field) for spec in specs}
    )


def records(cls: type[Record]) -> st.SearchStrategy[Record]:
    """Every record of one class."""
    return named(cls.FIELDS).map(lambda given: cls(**given))


def messages(cls: type[Message]) -> st.SearchStrategy[Message]:
    """Every message of one class."""
    return named(cls.SHAPE.fields).map(lambda given: cls(**given))


_made: dict[Any, st.SearchStrategy[Envelope]] = {}
"""The making of a strategy costs more than what is drawn from it."""


def envelopes(cls: type[Message]) -> st.SearchStrategy[Envelope]:
    """Messages of one class with the numbers that their kind needs."""
    if cls not in _made:
        _made[cls] = _envelopes(cls)
    return _made[cls]


def _envelopes(cls: type[Message]) -> st.SearchStrategy[Envelope]:
    kind = cls.SHAPE.kind
    return st.builds(
        Envelope,
        messages(cls),
        id=NUMBERS if kind is Kind.REQUEST else st.none(),
        re=(st.none() | NUMBERS) if kind is Kind.REPLY else st.none(),
        seq=NUMBERS if kind is Kind.PUSH else st.none(),
    )
