"""Bytes <-> message: every message of both directions in both formats, and every way in which a frame can be wrong."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Mapping
from typing import Any

import hypothesis.strategies as st
import msgpack
import pytest
from hypothesis import given, settings

from protocol.catalog import FROM_SERVER, TO_SERVER
from protocol.codec import DEPTH_MAX, Codec, DecodeError
from protocol.envelope import Envelope, Kind, Message
from protocol.errors import Code
from protocol.session import Error, Ping
from protocol.vault import AskStatus, ReportProgress, SubmitPuzzle, TaskProgress
from tests.protocol.strategies import envelopes

BINARY, JSON = True, False
FORMATS = pytest.mark.parametrize("binary", [BINARY, JSON], ids=["msgpack", "json"])
TASK = "ab" * 16


def codec(
    binary: bool, reads: Mapping[str, type[Message]] = TO_SERVER, *, strict: bool = True, frame_bytes_max: int = 65_536
) -> Codec:
    return Codec(binary=binary, reads=reads, strict=strict, frame_bytes_max=frame_bytes_max)


def pack(raw: Any, binary: bool) -> bytes:
    packed: bytes = msgpack.packb(raw) if binary else json.dumps(raw).encode()
    return packed


def refused(payload: bytes, binary: bool, reads: Mapping[str, type[Message]] = TO_SERVER) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        codec(binary, reads).decode(payload)
    return caught.value


@FORMATS
@pytest.mark.parametrize(
    ("reads", "name"),
    [pytest.param(d, n, id=f"{'to' if d is TO_SERVER else 'from'}-{n}") for d in (TO_SERVER, FROM_SERVER) for n in d],
)
@settings(max_examples=25)
@given(data=st.data())
def test_every_message_comes_back_as_it_was(
    binary: bool, reads: Mapping[str, type[Message]], name: str, data: st.DataObject
) -> None:
    envelope = data.draw(envelopes(reads[name]))
    both = codec(binary, reads, frame_bytes_max=2**20)
    assert both.decode(both.encode(envelope)) == envelope


@pytest.mark.parametrize("cls", dict.fromkeys([*TO_SERVER.values(), *FROM_SERVER.values()]))
@settings(max_examples=10)
@given(data=st.data())
def test_every_message_passes_between_processes(cls: type[Message], data: st.DataObject) -> None:
    message = data.draw(envelopes(cls)).message
    assert pickle.loads(pickle.dumps(message)) == message
    assert copy.deepcopy(message) == message


def test_one_name_may_mean_two_things_but_not_in_one_direction() -> None:
    assert TO_SERVER["progress"] is ReportProgress
    assert FROM_SERVER["progress"] is TaskProgress


@pytest.mark.parametrize("cls", dict.fromkeys([*TO_SERVER.values(), *FROM_SERVER.values()]))
def test_no_field_is_called_like_a_part_of_the_envelope(cls: type[Message]) -> None:
    assert not cls.SHAPE.names & {"type", "id", "re", "seq"}


# what a frame may weigh


@FORMATS
def test_a_frame_at_the_limit_is_read_and_one_byte_more_is_not(binary: bool) -> None:
    payload = codec(binary).encode(Envelope(AskStatus(task=TASK), id=1))
    assert codec(binary, frame_bytes_max=len(payload)).decode(payload).id == 1
    with pytest.raises(DecodeError) as caught:
        codec(binary, frame_bytes_max=len(payload) - 1).decode(payload)
    assert caught.value.code is Code.TOO_LARGE


@FORMATS
def test_every_truncation_is_malformed(binary: bool) -> None:
    payload = codec(binary).encode(Envelope(SubmitPuzzle(t=5, baseg=2, product=2**64 + 1, commitment=b"x" * 32), id=9))
    for length in range(len(payload)):
        assert refused(payload[:length], binary).code is Code.MALFORMED
    assert refused(payload + b"\x00", binary).code is Code.MALFORMED


@pytest.mark.parametrize("raw", [[], "ping", 1, None, True, 1.5, [{"type": "ping", "id": 1}]])
@FORMATS
def test_what_is_no_map_is_malformed(binary: bool, raw: Any) -> None:
    assert refused(pack(raw, binary), binary).code is Code.MALFORMED


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if levels % 2 else [value]
    return value


@FORMATS
def test_nesting_is_bounded_wherever_it_stands(binary: bool) -> None:
    # The frame's own map is the first level.
    at_limit = refused(pack({"type": "ping", "id": 1, "x": nested(DEPTH_MAX - 1)}, binary), binary)
    assert at_limit.code is Code.UNKNOWN_FIELD
    for levels in (DEPTH_MAX, DEPTH_MAX + 1, 200):
        assert refused(pack({"type": "ping", "id": 1, "x": nested(levels)}, binary), binary).code is Code.TOO_DEEP


@pytest.mark.parametrize("reads", [TO_SERVER, FROM_SERVER], ids=["to", "from"])
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("other", [{}, {"id": None}, {"type": 1}, {"type": "tlp_"}, {"push": "1"}, {"x": 1}])
def test_a_key_that_is_bytes_comes_before_every_fault_of_a_field(
    reads: Mapping[str, type[Message]], strict: bool, other: dict[str, Any]
) -> None:
    name = "ack" if reads is TO_SERVER else "pong"
    raw = {"type": name, "id": 1, "push": 1, "server_time_ms": 1} | other | {b"x": 1}
    with pytest.raises(DecodeError) as caught:
        codec(BINARY, reads, strict=strict).decode(pack(raw, BINARY))
    assert (caught.value.code, caught.value.re) == (Code.MALFORMED, None)


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a", b"\x81\xa4type\x91"])
def test_msgpack_that_only_nests_is_too_deep(opening: bytes) -> None:
    assert refused(opening * (60_000 // len(opening)), BINARY).code is Code.TOO_DEEP


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_that_only_nests_is_too_deep(opening: bytes) -> None:
    assert refused(opening * (60_000 // len(opening)), JSON).code is Code.TOO_DEEP


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",  # the byte that msgpack never uses
        b"\xdf\xff\xff\xff\xff",  # a map that claims four thousand million entries
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x81\xa4type\xa1\xff",  # a string that is not UTF-8
        b"\x81\x01\x02",  # a number as a key
        b"\x81\xc4\x01a\x01",  # bytes as a key
        b"\x82\xa4type\xa4ping\xc4\x01a\x01",
        b"\x81\x90\x01",  # a list as a key
        b"\xc7\x0c\xff" + b"\xff" * 12,  # a timestamp beyond its range
        b"\xd4\x05\x00",  # an extension
    ],
)
def test_odd_msgpack_is_malformed(payload: bytes) -> None:
    assert refused(payload, BINARY).code is Code.MALFORMED


@pytest.mark.parametrize(
    "payload",
    [b"", b"nul", b"{'a':1}", b'{"type":"ping","id":1}x', b'{"id":' + b"9" * 5000 + b"}", b'{"\xff":1}', b"\xff\xfe{"],
)
def test_odd_json_is_malformed(payload: bytes) -> None:
    assert refused(payload, JSON).code is Code.MALFORMED


# the envelope


@FORMATS
@pytest.mark.parametrize("kind", [None, 1, True, b"ping", ["ping"]])
def test_a_message_without_a_type_says_so(binary: bool, kind: Any) -> None:
    if not binary and isinstance(kind, bytes):
        kind = 2
    raw = {"id": 4} if kind is None else {"id": 4, "type": kind}
    error = refused(pack(raw, binary), binary)
    assert (error.code, error.re) == (Code.MISSING_FIELD, 4)


@FORMATS
def test_an_unknown_type_is_named_shortly_and_harmlessly(binary: bool) -> None:
    error = refused(pack({"type": "\x1b[31m" + "é" * 500, "id": 7}, binary), binary)
    assert (error.code, error.re) == (Code.UNSUPPORTED_TYPE, 7)
    assert error.message.isascii()
    assert error.message.isprintable()
    assert len(error.message) < 400
    assert "tlp" in error.suggestion


@FORMATS
def test_a_message_of_the_other_direction_is_unknown(binary: bool) -> None:
    assert refused(pack({"type": "tlp_accepted", "id": 1}, binary), binary).code is Code.UNSUPPORTED_TYPE
    assert refused(pack({"type": "tlp", "id": 1}, binary), binary, FROM_SERVER).code is Code.UNSUPPORTED_TYPE


@FORMATS
@pytest.mark.parametrize("name", ["id", "re", "seq"])
@pytest.mark.parametrize("number", [-1, 2**53, True, 1.0, "1", None, [1]])
def test_numbers_of_the_envelope_are_plain_integers(binary: bool, name: str, number: Any) -> None:
    raw = {"type": "ping", "id": 1} | {name: number}
    assert refused(pack(raw, binary), binary).code is Code.BAD_FIELD


@FORMATS
def test_numbers_of_the_envelope_reach_their_limits(binary: bool) -> None:
    for number in (0, 2**53 - 1):
        assert codec(binary).decode(pack({"type": "ping", "id": number}, binary)).id == number


@FORMATS
@pytest.mark.parametrize("name", [n for n, c in TO_SERVER.items() if c.SHAPE.kind is Kind.REQUEST])
def test_a_request_needs_an_id(binary: bool, name: str) -> None:
    raw = required_fields(TO_SERVER[name], binary) | {"type": name}
    assert codec(binary).decode(pack(raw | {"id": 0}, binary)).id == 0
    error = refused(pack(raw, binary), binary)
    assert (error.code, error.re) == (Code.MISSING_FIELD, None)


@FORMATS
@pytest.mark.parametrize("name", [n for n, c in FROM_SERVER.items() if c.SHAPE.kind is Kind.PUSH])
def test_a_push_needs_a_seq(binary: bool, name: str) -> None:
    raw = required_fields(FROM_SERVER[name], binary) | {"type": name}
    assert codec(binary, FROM_SERVER).decode(pack(raw | {"seq": 3}, binary)).seq == 3
    assert refused(pack(raw, binary), binary, FROM_SERVER).code is Code.MISSING_FIELD


# the fields


def required_fields(cls: type[Message], binary: bool) -> dict[str, Any]:
    """The smallest message of a class, as it travels."""
    samples: dict[str, Any] = {}
    for spec in cls.SHAPE.fields:
        if not spec.optional:
            samples[spec.name] = spec.field.dump(SAMPLES[type(spec.field).__name__](spec.field), binary)
    return samples


SAMPLES: dict[str, Any] = {
    "Natural": lambda f: 5,
    "Octets": lambda f: b"\x07" * f.bytes_min,
    "Integer": lambda f: max(1, f.minimum),
    "Number": lambda f: min(1.5, f.maximum),
    "Flag": lambda f: True,
    "Text": lambda f: "x" * max(1, f.length_min),
    "Choice": lambda f: f.words[0],
    "HexKey": lambda f: "a" * f.digits,
    "Counts": lambda f: {"2048": 1},
    "Records": lambda f: (),
    "Word": lambda f: "x",
    "Words": lambda f: (),
    "JsonText": lambda f: "{}",
}

EVERY_FIELD = [
    pytest.param(reads, name, spec.name, id=f"{'to' if reads is TO_SERVER else 'from'}-{name}-{spec.name}")
    for reads in (TO_SERVER, FROM_SERVER)
    for name, cls in reads.items()
    for spec in cls.SHAPE.fields
]


@FORMATS
@pytest.mark.parametrize(("reads", "name", "field"), EVERY_FIELD)
def test_what_nests_too_deeply_is_refused_as_such_in_every_field(
    binary: bool, reads: Mapping[str, type[Message]], name: str, field: str
) -> None:
    raw = required_fields(reads[name], binary) | {"type": name, "id": 1, "seq": 1, field: nested(DEPTH_MAX)}
    for strict in (True, False):
        with pytest.raises(DecodeError) as caught:
            codec(binary, reads, strict=strict).decode(pack(raw, binary))
        assert (caught.value.code, caught.value.re) == (Code.TOO_DEEP, None)


@FORMATS
@pytest.mark.parametrize(("reads", "name", "field"), EVERY_FIELD)
def test_each_field_is_needed_unless_optional_and_is_never_null(
    binary: bool, reads: Mapping[str, type[Message]], name: str, field: str
) -> None:
    shape = reads[name].SHAPE
    numbers = {"id": 1, "seq": 1} if reads is FROM_SERVER else {"id": 1}
    raw = required_fields(reads[name], binary) | {"type": name} | numbers
    optional = next(spec.optional for spec in shape.fields if spec.name == field)
    without = {key: value for key, value in raw.items() if key != field}
    if optional:
        assert getattr(codec(binary, reads).decode(pack(without, binary)).message, field) is None
    else:
        error = refused(pack(without, binary), binary, reads)
        assert (error.code, error.re) == (Code.MISSING_FIELD, 1)
        assert repr(field) in error.message
    error = refused(pack(raw | {field: None}, binary), binary, reads)
    assert (error.code, error.re) == (Code.BAD_FIELD, 1)
    assert repr(field) in error.message


@FORMATS
def test_the_server_refuses_a_field_that_no_message_has(binary: bool) -> None:
    error = refused(pack({"type": "task_status", "task": TASK, "id": 2, "extra": 1}, binary), binary)
    assert (error.code, error.re) == (Code.UNKNOWN_FIELD, 2)
    assert "'extra'" in error.message
    assert "task" in error.suggestion


@FORMATS
def test_a_dialling_end_reads_over_what_a_newer_server_adds(binary: bool) -> None:
    raw = {"type": "pong", "server_time_ms": 5, "re": 1, "mood": "fine"}
    lenient = codec(binary, FROM_SERVER, strict=False)
    assert lenient.decode(pack(raw, binary)).re == 1


@FORMATS
def test_absent_optional_fields_are_not_written(binary: bool) -> None:
    payload = codec(binary).encode(Envelope(SubmitPuzzle(t=1, baseg=2, product=3), id=1))
    raw = msgpack.unpackb(payload) if binary else json.loads(payload)
    assert set(raw) == {"type", "id", "t", "baseg", "product"}


# anything at all


@FORMATS
@given(payload=st.binary(max_size=200))
def test_random_frames_are_refused_by_name(binary: bool, payload: bytes) -> None:
    for reads in (TO_SERVER, FROM_SERVER):
        try:
            codec(binary, reads).decode(payload)
        except DecodeError as error:
            assert error.code in Code  # noqa: PT017


PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20)
MSGPACK_VALUES = st.recursive(
    PLAIN | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.binary(max_size=5), inner),
    max_leaves=8,
)
JSON_VALUES = st.recursive(
    PLAIN | st.integers(10**300, 10**320),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(
    sorted({spec.name for c in (TO_SERVER, FROM_SERVER) for m in c.values() for spec in m.SHAPE.fields})
)
TYPES = st.sampled_from(sorted({*TO_SERVER, *FROM_SERVER}))


@FORMATS
@given(data=st.data())
def test_messages_of_random_fields_are_refused_by_name(binary: bool, data: st.DataObject) -> None:
    inner = MSGPACK_VALUES if binary else JSON_VALUES
    raw = data.draw(st.dictionaries(NAMES | st.sampled_from(["id", "re", "seq"]) | st.text(max_size=5), inner))
    raw["type"] = data.draw(TYPES)
    for reads in (TO_SERVER, FROM_SERVER):
        for strict in (True, False):
            try:
                codec(binary, reads, strict=strict).decode(pack(raw, binary))
            except DecodeError as error:
                assert error.code in Code  # noqa: PT017


@FORMATS
@settings(max_examples=25)
@given(data=st.data())
def test_one_wrong_byte_never_breaks_the_reader(binary: bool, data: st.DataObject) -> None:
    cls = data.draw(st.sampled_from(sorted(TO_SERVER.values(), key=lambda c: c.__name__)))
    payload = bytearray(codec(binary).encode(data.draw(envelopes(cls))))
    position = data.draw(st.integers(0, len(payload) - 1))
    payload[position] ^= data.draw(st.integers(1, 255))
    try:
        codec(binary).decode(bytes(payload))
    except DecodeError as error:
        assert error.code in Code  # noqa: PT017


def test_a_refusal_names_the_request_where_it_could_be_read() -> None:
    assert refused(pack({"type": "task_status", "id": 12, "task": 5}, BINARY), BINARY).re == 12
    assert refused(b"\xc1", BINARY).re is None


def test_errors_travel_with_their_meaning() -> None:
    for code in Code:
        error = Error.of(DecodeError(code, "What.", "Then."))
        back = error.exception()
        assert back is not None
        assert (back.code, back.message, back.suggestion) == (code, "What.", "Then.")
    newer = Error(code="OF_A_NEWER_SERVER", message="", suggestion="", retryable=False)
    assert newer.exception() is None


@FORMATS
def test_a_ping_is_the_smallest_request(binary: bool) -> None:
    assert codec(binary).decode(codec(binary).encode(Envelope(Ping(), id=1))) == Envelope(Ping(), id=1)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"ping","id":1,"id":2}',
        b'{"type":"ping","type":"ping","id":1}',
        b'{"type":"ping","id":1,"a":{"b":1,"b":1}}',
    ],
)
def test_a_field_that_is_given_twice_is_malformed(payload: bytes) -> None:
    refusal = refused(payload, JSON)
    assert (refusal.code, refusal.message) == (Code.MALFORMED, "A field of the message is given twice.")
