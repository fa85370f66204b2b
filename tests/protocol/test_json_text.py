"""JSON texts inside messages: one canonical form, and nothing that another reader would not take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from protocol.errors import Code, MessageError
from protocol.json_text import JSON_DEPTH_MAX, JsonText, NotJson, canonical, read
from tests.protocol.strategies import json_values

FIELD = JsonText(20)
OBJECT = JsonText(20, only_object=True)


def refusal(field: JsonText, value: Any) -> MessageError:
    with pytest.raises(MessageError) as caught:
        field.parse("completion", value, True)
    assert caught.value.code is Code.BAD_FIELD
    assert "'completion'" in caught.value.message
    assert caught.value.suggestion == f"Send {field.describe()}."
    return caught.value


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1", "1"),
        ("0", "0"),
        ("false", "false"),
        ('""', '""'),
        (' { "b" : 1,\n"a": [ ] } ', '{"a":[],"b":1}'),
        ('{"a":1,"a":2}', '{"a":2}'),
        ('"\\u00e9\\/"', '"é/"'),
        ('"\\u0000"', '"\\u0000"'),
        ("1.0", "1.0"),
        ("1e2", "100.0"),
        ('"' + "x" * 18 + '"', '"' + "x" * 18 + '"'),
        ('"' + "é" * 9 + '"', '"' + "é" * 9 + '"'),
    ],
)
def test_a_value_has_one_form(text: str, meant: str) -> None:
    assert JsonText(30).parse("completion", text, True) == meant
    assert JsonText(30).parse("completion", meant, False) == meant


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "null",
        " null ",
        "nul",
        "{",
        "1 2",
        "NaN",
        "-Infinity",
        "[1e999]",
        '"\\ud800"',
        '"\ud800"',
        "'a'",
        "[1,]",
        '"a\nb"',
        '"' + "x" * 19 + '"',
        '"' + "é" * 10 + '"',
        5,
        None,
        b"1",
        {},
        [],
        True,
    ],
    ids=repr,
)
def test_what_is_not_taken(value: Any) -> None:
    refusal(FIELD, value)


def test_its_one_form_has_to_fit_too() -> None:
    assert JsonText(12).parse("completion", "1e9", True) == "1000000000.0"
    refusal(JsonText(11), "1e9")


def test_the_longest_text_counts_bytes() -> None:
    for length, fits in ((18, True), (19, False)):
        text = '"' + "x" * length + '"'
        if fits:
            assert FIELD.parse("completion", text, True) == text
        else:
            refusal(FIELD, text)


@pytest.mark.parametrize("text", ["1", "[]", '"a"', "true", "null"])
def test_an_object_is_asked_for(text: str) -> None:
    refusal(OBJECT, text)
    assert OBJECT.parse("completion", "{}", True) == "{}"


@pytest.mark.parametrize(("levels", "fits"), [(JSON_DEPTH_MAX, True), (JSON_DEPTH_MAX + 1, False)])
def test_the_deepest_text(levels: int, fits: bool) -> None:
    field = JsonText(1000)
    text = "[" * levels + "]" * levels
    if fits:
        assert field.parse("completion", text, True) == text
    else:
        refusal(field, text)


def test_no_depth_ends_the_reader() -> None:
    refusal(JsonText(10**6), "[" * 400_000)


@given(value=json_values())
def test_what_is_written_is_read(value: Any) -> None:
    text = canonical(value)
    assert canonical(read(text)) == text
    assert JsonText(len(text.encode())).parse("completion", text, True) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"a", "\ud800", {1: 2, "1": {2}}], ids=repr)
def test_what_cannot_be_written(value: Any) -> None:
    with pytest.raises(NotJson):
        canonical(value)
