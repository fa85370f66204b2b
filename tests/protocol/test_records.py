"""A bounded list of records as one field: what it takes, and what it refuses, by name."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from protocol.errors import Code, MessageError
from protocol.fields import Integer, Natural
from protocol.records import Record, Records, record


@record
class Line(Record):
    """A line of these tests."""

    number: Annotated[int, Integer(1, 9)]
    big: Annotated[int, Natural(2)] | None = None


LINES = Records(Line, 2)
OPEN = Records(Line, 2, extensible=True)


def refused(field: Records, value: Any, binary: bool = True) -> MessageError:
    with pytest.raises(MessageError) as caught:
        field.parse("lines", value, binary)
    return caught.value


@pytest.mark.parametrize(("binary", "big"), [(True, b"\x01\x00"), (False, "0100")])
def test_what_is_written_is_read_in_both_formats(binary: bool, big: Any) -> None:
    lines = (Line(number=1, big=256), Line(number=9))
    wire = LINES.dump(lines, binary)
    assert wire == [{"number": 1, "big": big}, {"number": 9}]
    assert LINES.parse("lines", wire, binary) == lines
    assert LINES.parse("lines", [], binary) == ()


def test_one_entry_too_many_is_refused() -> None:
    assert len(LINES.parse("lines", [{"number": 1}] * 2, True)) == 2
    assert refused(LINES, [{"number": 1}] * 3).code is Code.BAD_FIELD


@pytest.mark.parametrize("value", [None, {}, "x", 5, [5], [[]], [{b"number": 1}], ({"number": 1},)])
def test_what_is_no_list_of_maps_is_refused(value: Any) -> None:
    assert refused(LINES, value).code is Code.BAD_FIELD


@pytest.mark.parametrize(
    ("entry", "code", "named"),
    [
        ({}, Code.MISSING_FIELD, "lines[1]"),
        ({"number": 0}, Code.BAD_FIELD, "lines[1].number"),
        ({"number": 10}, Code.BAD_FIELD, "lines[1].number"),
        ({"number": True}, Code.BAD_FIELD, "lines[1].number"),
        ({"number": 1, "big": "0100"}, Code.BAD_FIELD, "lines[1].big"),
        ({"number": 1, "big": b"\x01\x02\x03"}, Code.BAD_FIELD, "lines[1].big"),
        ({"number": 1, "big": None}, Code.BAD_FIELD, "lines[1].big"),
    ],
)
def test_a_field_that_does_not_fit_is_refused_by_its_place(entry: Any, code: Code, named: str) -> None:
    for field in (LINES, OPEN):
        refusal = refused(field, [{"number": 1}, entry])
        assert refusal.code is code
        assert named in refusal.message


def test_an_unknown_field_is_refused_unless_a_newer_server_may_add_some() -> None:
    refusal = refused(LINES, [{"number": 1, "secret": 7}])
    assert refusal.code is Code.UNKNOWN_FIELD
    assert "secret" not in str(refusal)
    assert OPEN.parse("lines", [{"number": 1, "secret": 7}], True) == (Line(number=1),)


def test_one_entry_too_few_is_refused() -> None:
    some = Records(Line, 2, entries_min=1)
    assert len(some.parse("lines", [{"number": 1}], False)) == 1
    assert "1 to 2" in refused(some, []).suggestion


def test_null_is_absent_where_that_is_said() -> None:
    lenient = Records(Line, 2, null_is_absent=True)
    assert lenient.parse("lines", [{"number": 1, "big": None}], False) == (Line(number=1),)
    assert refused(lenient, [{"number": None}]).code == Code.BAD_FIELD
