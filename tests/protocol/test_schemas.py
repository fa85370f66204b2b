"""A field's JSON Schema takes what the field takes and refuses what it refuses, as far as such a schema can say it."""

from __future__ import annotations

import unicodedata
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.errors import MessageError
from protocol.fields import (
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
    or_null,
)
from protocol.hive_fields import Instant, Link, ListOf, OrNull, Prose, Work
from protocol.json_text import JsonText
from protocol.records import Records
from tests.protocol.test_records import Line

FIELDS: tuple[Field, ...] = (
    Natural(2),
    Octets(1, 2),
    Integer(1, 5),
    Number(1.0, 5.0),
    Number(),
    Flag(),
    Choice(("a", "b")),
    HexKey(4),
    Counts(1),
    Word(3),
    Words(("a", "b")),
    Text(3, 1),
    ListOf(Integer(1, 3), 2, 1),
    OrNull(Integer(1, 5)),
    OrNull(Choice(("a", "b"))),
    JsonText(10),
)
ODDITIES: tuple[Any, ...] = (
    None, True, False, 0, 1, 5, 6, -1, 1.5, 5.5, "", "a", "b", "ab", "abc", "abcd", "00ff", "00FF", "0", "a b", [], [1],
    [1, 2], [1, 1], [1, 2, 3], [4], ["a"], ["a", "b"], ["a", "a"], ["c"], {}, {"a": 1}, {"a": 1, "b": 2}, {"a": -1},
)  # fmt: skip
ONLY_IN_WORDS = {(JsonText, "str"), (Counts, "dict"), (Natural, "str"), (Text, "str")}
"""Of these a schema says less: what a text holds, how long a name is, that a string is not empty."""


def takes(field: Field, value: Any) -> bool:
    try:
        field.parse("it", value, False)
    except MessageError:
        return False
    return True


@pytest.mark.parametrize("field", FIELDS, ids=repr)
@pytest.mark.parametrize("value", ODDITIES, ids=repr)
def test_schema_and_field_agree(field: Field, value: Any) -> None:
    fits = jsonschema_rs.is_valid(field.schema(), value)
    if takes(field, value):
        assert fits
    elif (type(field), type(value).__name__) not in ONLY_IN_WORDS:
        assert not fits


CHARACTERS = st.sampled_from("ab \n\t\r\x0b\x1c\x1f\x7f\x85\xa0\u2003\u2028\u3000\x00é€😀") | st.characters(
    blacklist_categories=["Cs"]
)


@given(st.sampled_from([1, 2, 5]), st.booleans(), st.text(CHARACTERS, max_size=12))
@example(2, True, "ab\n")
@example(2, False, "a\nb")
@example(1, True, " \u2028a\u2029")
def test_prose_is_told_by_a_pattern(length_min: int, is_line: bool, text: str) -> None:
    """But for its length, which is counted without the blanks around it, and for line ends of two characters."""
    field = Prose(8, length_min, is_line)
    if "\r\n" in text or len(text) > 8 or any(unicodedata.category(each) == "Cn" for each in text):
        return
    assert jsonschema_rs.is_valid(field.schema(), text) == takes(field, text)


@given(st.text(CHARACTERS, max_size=6))
@example("\x00a")
@example(" \n")
def test_work_is_told_by_a_pattern(text: str) -> None:
    assert jsonschema_rs.is_valid(Work(5).schema(), text) == takes(Work(5), text)


@pytest.mark.parametrize("url", ["https://x.example/a?b=c#d", "https://x.example:8443", "http://127.0.0.1:80/"])
def test_a_link_fits_its_schema(url: str) -> None:
    assert takes(Link(), url)
    assert jsonschema_rs.is_valid(Link().schema(), url)


@pytest.mark.parametrize(
    "url", ["ftp://x", "https://", "https://a@b/", "https://x y/", "x", "https://x/\\", "https://x:0x/", "https://é/"]
)
def test_what_is_no_link_fits_neither(url: str) -> None:
    assert not takes(Link(), url)
    assert not jsonschema_rs.is_valid(Link().schema(), url)


@given(st.from_regex(Link().schema()["pattern"], fullmatch=True))
def test_whatever_a_links_pattern_takes_is_a_link(url: str) -> None:
    assert takes(Link(), url)


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_that_is_shown_fits_its_schema(ms: int) -> None:
    assert jsonschema_rs.is_valid(Instant().schema(), Instant().dump(ms, False), validate_formats=True)


def test_null_is_let_in_beside_anything() -> None:
    for schema in (Integer().schema(), Choice(("a",)).schema(), {"$ref": "#/$defs/x"}):
        assert jsonschema_rs.is_valid({**or_null(schema), "$defs": {"x": False}}, None)


def test_a_list_of_records_names_its_record_and_its_bounds() -> None:
    schema = Records(Line, 2, entries_min=1).schema()
    assert schema["items"] == {"$ref": "#/components/schemas/Line"}
    assert (schema["minItems"], schema["maxItems"]) == (1, 2)
