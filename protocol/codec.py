"""Bytes <-> message, in msgpack or JSON, with limits of size and depth. The only import of msgpack.

Requests are read strictly (an unknown field is refused); what the server sends is read so that a newer server may add a
field. Nothing a message holds ever stands in an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack

from protocol.envelope import ENVELOPE_NUMBER, Envelope, Message, Shape
from protocol.errors import Code, MessageError

DEPTH_MAX = 3
"""A message is a map; a field of it may be a map; that one holds plain values."""

CONTAINERS = frozenset({dict, list, tuple})

BUFFER_BYTES = 1024
"""What a conversation keeps for packing; it grows with the largest message."""

_number = ENVELOPE_NUMBER.parse


class DecodeError(MessageError):
    """A frame that is no message. `re` is the request's number where it could be read; `fault` what is wrong with the
    frame, where `code` is what a door calls it.
    """

    def __init__(
        self, code: Code, message: str, suggestion: str, re: int | None = None, fault: Code | None = None
    ) -> None:
        super().__init__(code, message, suggestion)
        self.re = re
        self.fault = code if fault is None else fault


class Codec:
    """One format in one direction of reading.

    `reads` is the catalogue's list for what arrives; `strict` refuses unknown fields (the server's side);
    `frame_bytes_max` bounds a frame, in bytes, `depth_max` how deep it nests.
    """

    def __init__(
        self,
        *,
        binary: bool,
        reads: Mapping[str, type[Message]],
        strict: bool,
        frame_bytes_max: int,
        depth_max: int = DEPTH_MAX,
    ) -> None:
        self.binary = binary
        self.frame_bytes_max = frame_bytes_max
        self._reads = reads
        self._strict = strict
        self._depth_max = depth_max
        self._pack: Callable[[Any], bytes] = msgpack.Packer(buf_size=BUFFER_BYTES).pack  # a fresh one a message is slow

    def encode(self, envelope: Envelope) -> bytes:
        """The frame's payload. JSON is UTF-8 and goes into a text frame."""
        message = envelope.message
        shape = message.SHAPE
        binary = self.binary
        raw: dict[str, Any] = {"type": shape.wire_type}
        if envelope.id is not None:
            raw["id"] = envelope.id
        if envelope.re is not None:
            raw["re"] = envelope.re
        if envelope.seq is not None:
            raw["seq"] = envelope.seq
        for name, dump in shape.writers:
            value = getattr(message, name)
            if value is not None:
                raw[name] = value if dump is None else dump(value, binary)
        if binary:
            return self._pack(raw)
        return json.dumps(raw, separators=(",", ":")).encode()

    def decode(self, payload: bytes) -> Envelope:
        """Read one message. Raises DecodeError.

        An ordinary map needs no search for foreign keys and nested values: its keys are its message's names, and its
        fields refuse lists and maps. Any other is searched before anything else is said against it.
        """
        if len(payload) > self.frame_bytes_max:
            raise DecodeError(
                Code.TOO_LARGE,
                f"The frame has {len(payload)} bytes.",
                f"Send at most {self.frame_bytes_max} bytes (frame_bytes_max).",
            )
        raw = self._parse(payload)
        try:
            return self._read(raw)
        except DecodeError:
            self._check_items(raw)
            raise

    def _parse(self, payload: bytes) -> dict[str, Any]:
        try:
            raw = msgpack.unpackb(payload) if self.binary else json.loads(payload, object_pairs_hook=_each_once)
        except (RecursionError, msgpack.StackError):
            raise _too_deep(self._depth_max) from None
        except ValueError:  # what msgpack and json raise, UnicodeDecodeError and msgpack's ExtraData included
            raise _malformed(f"The frame is not {'msgpack' if self.binary else 'JSON'}.") from None
        if not isinstance(raw, dict):
            raise _malformed("The frame holds no map.")
        return raw

    def _check_items(self, raw: dict[str, Any]) -> None:
        """Keys are strings, and nothing nests too deeply."""
        for key, value in raw.items():
            if type(key) is not str:  # msgpack lets a key be bytes
                raise _malformed("A key of the map is no string.")
            if type(value) in CONTAINERS:
                _check_depth(value, self._depth_max - 1, self._depth_max)

    def _read(self, raw: dict[str, Any]) -> Envelope:
        try:
            request_id = _number("id", raw["id"], True) if "id" in raw else None
            re = _number("re", raw["re"], True) if "re" in raw else None
            seq = _number("seq", raw["seq"], True) if "seq" in raw else None
        except MessageError as refusal:
            raise DecodeError(refusal.code, refusal.message, refusal.suggestion) from None
        wire_type = raw.get("type")
        if not isinstance(wire_type, str):
            raise DecodeError(
                Code.MISSING_FIELD, "The message has no type.", "Name it in a string field 'type'.", request_id
            )
        cls = self._reads.get(wire_type)
        if cls is None:
            raise DecodeError(
                Code.UNSUPPORTED_TYPE,
                f"There is no message {_shown(wire_type)} in this direction.",
                f"Send one of {', '.join(sorted(self._reads))}.",
                request_id,
            )
        shape = cls.SHAPE
        if not shape.is_flat:
            self._check_items(raw)
        try:
            values = self._values(shape, raw)
        except MessageError as refusal:
            raise DecodeError(refusal.code, refusal.message, refusal.suggestion, request_id) from None
        return Envelope(cls(*values), request_id, re, seq)

    def _values(self, shape: Shape, raw: dict[str, Any]) -> list[Any]:
        """The fields of one message in their order, each checked, and nothing else in the map."""
        binary = self.binary
        values: list[Any] = []
        for name, parse, optional in shape.readers:
            if name in raw:
                values.append(parse(name, raw[name], binary))
            elif optional:
                values.append(None)
            else:
                raise _missing(shape, name)
        if shape.needed is not None and shape.needed not in raw:
            raise _missing(shape, shape.needed)
        if not shape.known.issuperset(raw):
            self._check_items(raw)
            if self._strict:
                raise _unknown(shape, min(raw.keys() - shape.known))
        return values


def _missing(shape: Shape, name: str) -> MessageError:
    field = next((spec.field for spec in shape.fields if spec.name == name), ENVELOPE_NUMBER)
    return MessageError(
        Code.MISSING_FIELD, f"Message {shape.wire_type!r} lacks field {name!r}.", f"Send {field.describe()}."
    )


def _unknown(shape: Shape, name: str) -> MessageError:
    return MessageError(
        Code.UNKNOWN_FIELD,
        f"Message {shape.wire_type!r} has no field {_shown(name)}.",
        f"Its fields are {', '.join(sorted(shape.names)) or 'none'}.",
    )


def _check_depth(value: Any, left: int, depth_max: int) -> None:
    if isinstance(value, dict):
        inside: Any = value.values()
    elif isinstance(value, list | tuple):
        inside = value
    else:
        return
    if left == 0:
        raise _too_deep(depth_max)
    for item in inside:
        if type(item) in CONTAINERS:
            _check_depth(item, left - 1, depth_max)


def _malformed(message: str) -> DecodeError:
    return DecodeError(Code.MALFORMED, message, "Send one map per frame in the format of the chosen subprotocol.")


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; one that names a field twice says two things, and readers differ in which they take."""
    held = dict(pairs)
    if len(held) < len(pairs):
        raise _malformed("A field of the message is given twice.")
    return held


def _too_deep(depth_max: int) -> DecodeError:
    return DecodeError(Code.TOO_DEEP, "The message nests too deeply.", f"Nest at most {depth_max} levels.")


def _shown(name: str) -> str:
    """A foreign word as it may stand in an error: short, escaped, quoted."""
    return ascii(name if len(name) <= 40 else name[:40] + "…")
