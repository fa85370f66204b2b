"""Every kind of field: what it takes at its limits, and that it refuses one step beyond and every wrong type."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from protocol.errors import Code, MessageError
from protocol.fields import (
    FINGERPRINT,
    FLAT,
    HOTKEY,
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
from tests.protocol.strategies import values

BINARY, JSON = True, False
FLOAT_MAX = 1.7976931348623157e308

FIELDS: dict[str, Field] = {
    "natural": Natural(4),
    "octets": Octets(2, 4),
    "integer": Integer(-3, 7),
    "number": Number(),
    "flag": Flag(),
    "text": Text(length_max=4, length_min=1),
    "choice": Choice(("red", "blue")),
    "hex": HexKey(8),
    "counts": Counts(entries_max=2, key_length_max=3),
    "word": Word(4),
    "words": Words(("red", "blue")),
}

# (field, format, what travels, what it means)
TAKEN: list[tuple[str, bool, Any, Any]] = [
    ("natural", BINARY, b"\x00", 0),
    ("natural", BINARY, b"\x00\x00\x01", 1),
    ("natural", BINARY, b"\xff" * 4, 2**32 - 1),
    ("natural", JSON, "ff" * 4, 2**32 - 1),
    ("natural", JSON, "00", 0),
    ("octets", BINARY, b"ab", b"ab"),
    ("octets", BINARY, b"abcd", b"abcd"),
    ("octets", JSON, "6162", b"ab"),
    ("octets", JSON, "61626364", b"abcd"),
    ("integer", BINARY, -3, -3),
    ("integer", JSON, 7, 7),
    ("number", BINARY, 0, 0.0),
    ("number", BINARY, 1.5, 1.5),
    ("number", JSON, FLOAT_MAX, FLOAT_MAX),
    ("flag", BINARY, True, True),
    ("flag", JSON, False, False),
    ("text", BINARY, "a", "a"),
    ("text", JSON, "é b!", "é b!"),
    ("choice", BINARY, "red", "red"),
    ("hex", BINARY, "00ffabcd", "00ffabcd"),
    ("hex", JSON, "00ffabcd", "00ffabcd"),
    ("word", BINARY, "a", "a"),
    ("word", JSON, "A_.-", "A_.-"),
    ("words", BINARY, [], ()),
    ("words", JSON, ["blue", "red"], ("blue", "red")),
    ("counts", BINARY, {}, {}),
    ("counts", JSON, {"a": 0, "abc": INTEGER_MAX}, {"a": 0, "abc": INTEGER_MAX}),
]

REFUSED: list[tuple[str, bool, Any]] = [
    ("word", BINARY, ""),
    ("word", BINARY, "abcde"),
    ("word", JSON, "a b"),
    ("word", JSON, "é"),
    ("word", JSON, "a\n"),
    ("word", BINARY, 1),
    ("words", BINARY, ["red", "red"]),
    ("words", BINARY, ["green"]),
    ("words", JSON, [1]),
    ("words", JSON, "red"),
    ("words", JSON, {"red": 1}),
    ("natural", BINARY, b""),
    ("natural", BINARY, b"\x01" * 5),
    ("natural", BINARY, "01"),
    ("natural", BINARY, 1),
    ("natural", BINARY, bytearray(b"\x01")),
    ("natural", JSON, ""),
    ("natural", JSON, "01" * 5),
    ("natural", JSON, "1"),
    ("natural", JSON, "0A"),
    ("natural", JSON, "0x01"),
    ("natural", JSON, "01\n"),
    ("natural", JSON, "٠١"),  # digits, but not of hex
    ("natural", JSON, b"\x01"),
    ("natural", JSON, 1),
    ("octets", BINARY, b"a"),
    ("octets", BINARY, b"abcde"),
    ("octets", BINARY, "abc"),
    ("octets", JSON, "61"),
    ("octets", JSON, "6162636465"),
    ("octets", JSON, b"ab"),
    ("integer", BINARY, -4),
    ("integer", BINARY, 8),
    ("integer", BINARY, True),
    ("integer", BINARY, 1.0),
    ("integer", JSON, "1"),
    ("integer", JSON, math.nan),
    ("number", BINARY, -0.1),
    ("number", BINARY, -1),
    ("number", BINARY, math.nan),
    ("number", BINARY, math.inf),
    ("number", JSON, -math.inf),
    ("number", JSON, 10**400),  # an integer that no float holds
    ("number", BINARY, True),
    ("number", JSON, "1"),
    ("flag", BINARY, 1),
    ("flag", BINARY, 0),
    ("flag", JSON, "true"),
    ("text", BINARY, ""),
    ("text", BINARY, "abcde"),
    ("text", BINARY, b"abc"),
    ("text", BINARY, "a\n"),
    ("text", BINARY, "a\x00"),
    ("text", BINARY, "\x7f"),
    ("text", BINARY, "a\u202e"),  # turns the direction of what follows
    ("text", JSON, "\ud800"),
    ("text", JSON, 1),
    ("choice", BINARY, "green"),
    ("choice", BINARY, "Red"),
    ("choice", BINARY, b"red"),
    ("choice", BINARY, ["red"]),
    ("choice", JSON, 0),
    ("hex", BINARY, "00ffabc"),
    ("hex", BINARY, "00ffabcd0"),
    ("hex", BINARY, "00FFABCD"),
    ("hex", BINARY, "00ffabcg"),
    ("hex", BINARY, b"00ffabcd"),
    ("hex", JSON, "00ffabc\n"),
    ("counts", BINARY, {"a": 1, "b": 2, "c": 3}),
    ("counts", BINARY, {"": 1}),
    ("counts", BINARY, {"abcd": 1}),
    ("counts", BINARY, {"a\n": 1}),
    ("counts", JSON, {"\ud800": 1}),
    ("counts", BINARY, {b"a": 1}),
    ("counts", BINARY, {"a": -1}),
    ("counts", BINARY, {"a": INTEGER_MAX + 1}),
    ("counts", BINARY, {"a": True}),
    ("counts", BINARY, {"a": 1.0}),
    ("counts", BINARY, {"a": None}),
    ("counts", BINARY, [("a", 1)]),
]


@pytest.mark.parametrize(("name", "binary", "value", "meaning"), TAKEN)
def test_a_field_takes_what_is_within_its_limits(name: str, binary: bool, value: Any, meaning: Any) -> None:
    parsed = FIELDS[name].parse("x", value, binary)
    assert parsed == meaning
    assert type(parsed) is type(meaning)


@pytest.mark.parametrize(("name", "binary", "value"), REFUSED)
def test_a_field_refuses_what_is_beyond(name: str, binary: bool, value: Any) -> None:
    with pytest.raises(MessageError) as caught:
        FIELDS[name].parse("x", value, binary)
    assert caught.value.code is Code.BAD_FIELD
    assert "'x'" in caught.value.message
    assert FIELDS[name].describe() in caught.value.suggestion


@pytest.mark.parametrize("binary", [BINARY, JSON])
@pytest.mark.parametrize("name", FIELDS)
def test_null_is_no_value_of_any_field(name: str, binary: bool) -> None:
    with pytest.raises(MessageError):
        FIELDS[name].parse("x", None, binary)


@pytest.mark.parametrize("binary", [BINARY, JSON])
@pytest.mark.parametrize("value", [[], {}, [1], ["red"], {"a": 1}])
@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if type(field) in FLAT])
def test_a_flat_field_takes_neither_a_list_nor_a_map(name: str, value: Any, binary: bool) -> None:
    with pytest.raises(MessageError) as caught:
        FIELDS[name].parse("x", value, binary)
    assert caught.value.code is Code.BAD_FIELD


def test_every_flat_field_is_among_those_that_are_tested() -> None:
    assert not FLAT - {type(field) for field in FIELDS.values()}


def test_the_default_limits_of_integers_are_those_of_every_json_reader() -> None:
    assert Integer().parse("x", INTEGER_MAX, JSON) == 2**53 - 1
    for beyond in (-1, 2**53):
        with pytest.raises(MessageError):
            Integer().parse("x", beyond, JSON)


def test_names_have_their_lengths() -> None:
    assert FINGERPRINT.digits == 32
    assert HOTKEY.digits == 64


def test_a_natural_is_written_without_leading_zeros_and_zero_as_one_byte() -> None:
    field = Natural(4)
    assert field.dump(0, BINARY) == b"\x00"
    assert field.dump(255, BINARY) == b"\xff"
    assert field.dump(256, JSON) == "0100"


@pytest.mark.parametrize("binary", [BINARY, JSON])
@pytest.mark.parametrize("name", FIELDS)
@given(data=st.data())
def test_what_a_field_writes_it_reads(name: str, binary: bool, data: st.DataObject) -> None:
    field = FIELDS[name]
    value = data.draw(values(field))
    assert field.parse("x", field.dump(value, binary), binary) == value


@given(value=st.binary(min_size=5) | st.text(min_size=5, alphabet="0123456789abcdef"))
def test_a_refusal_never_repeats_the_value(value: bytes | str) -> None:
    with pytest.raises(MessageError) as caught:
        Natural(2).parse("baseg", value, isinstance(value, bytes))
    shown = value if isinstance(value, str) else value.hex()
    assert shown not in str(caught.value)


def test_a_refusal_keeps_the_value_to_itself() -> None:
    for field, secret in (
        (Integer(1, 9), 271828),
        (Natural(1), "271828"),
        (Octets(2, 2), "271828"),
        (Word(3), "271828"),
    ):
        for value in (secret, [secret], {"271828": secret}):
            with pytest.raises(MessageError) as caught:
                field.parse("t", value, JSON)
            assert "271828" not in f"{caught.value.message} {caught.value.suggestion}"
    with pytest.raises(MessageError) as caught:
        Integer(1, 9).parse("t", 271828, JSON)
    assert caught.value.message == "Field 't' does not fit: it is a number."
