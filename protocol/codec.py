"""Bytes <-> message, in msgpack or JSON, with limits of size and depth. The only import of msgpack.

Requests are read strictly (an unknown field is refused); what the server sends is read so that a newer server may add a
field. Nothing a message holds ever stands in an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgpack

from protocol.envelope import ENVELOPE_NUMBER, Envelope, Kind, Message
from protocol.errors import Code, MessageError

DEPTH_MAX = 3
"""A message is a map; a field of it may be a map; that one holds plain values."""

ENVELOPE_NAMES = frozenset({"type", "id", "re", "seq"})


class DecodeError(MessageError):
    """A frame that is no message. `re` is the request's number where it could be read."""

    def __init__(self, code: Code, message: str, suggestion: str, re: int | None = None) -> None:
        super().__init__(code, message, suggestion)
        self.re = re


class Codec:
    """One format in one direction of reading.

    `reads` is the catalogue's list for what arrives; `strict` refuses unknown fields (the server's side);
    `frame_bytes_max` bounds a frame, in bytes.
    """

    def __init__(self, *, binary: bool, reads: Mapping[str, type[Message]], strict: bool, frame_bytes_max: int) -> None:
        self.binary = binary
        self.frame_bytes_max = frame_bytes_max
        self._reads = reads
        self._strict = strict

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
        for spec in shape.fields:
            value = getattr(message, spec.name)
            if value is not None:
                raw[spec.name] = value if spec.field.as_is else spec.field.dump(value, binary)
        if binary:
            packed: bytes = msgpack.packb(raw)
            return packed
        return json.dumps(raw, separators=(",", ":")).encode()

    def decode(self, payload: bytes) -> Envelope:
        """Read one message. Raises DecodeError."""
        if len(payload) > self.frame_bytes_max:
            raise DecodeError(
                Code.TOO_LARGE,
                f"The frame has {len(payload)} bytes.",
                f"Send at most {self.frame_bytes_max} bytes (frame_bytes_max).",
            )
        return self._read(self._parse(payload))

    def _parse(self, payload: bytes) -> dict[str, Any]:
        try:
            raw = msgpack.unpackb(payload, raw=False) if self.binary else json.loads(payload)
        except (RecursionError, msgpack.StackError):
            raise _too_deep() from None
        except ValueError:  # what msgpack and json raise, UnicodeDecodeError and msgpack's ExtraData included
            raise _malformed(f"The frame is not {'msgpack' if self.binary else 'JSON'}.") from None
        if not isinstance(raw, dict):
            raise _malformed("The frame holds no map.")
        if not all(isinstance(key, str) for key in raw):  # msgpack lets a key be bytes
            raise _malformed("A key of the map is no string.")
        _check_depth(raw, DEPTH_MAX)
        return raw

    def _read(self, raw: dict[str, Any]) -> Envelope:
        numbers = {name: self._number(raw, name) for name in ("id", "re", "seq") if name in raw}
        request_id = numbers.get("id")
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
        binary = self.binary
        values: dict[str, Any] = {}
        try:
            for spec in shape.fields:
                if spec.name in raw:
                    values[spec.name] = spec.field.parse(spec.name, raw[spec.name], binary)
                elif not spec.optional:
                    raise MessageError(
                        Code.MISSING_FIELD,
                        f"Message {wire_type!r} lacks field {spec.name!r}.",
                        f"Send {spec.field.describe()}.",
                    )
            self._check_envelope(shape.wire_type, shape.kind, shape.names, raw)
        except MessageError as refusal:
            raise DecodeError(refusal.code, refusal.message, refusal.suggestion, request_id) from None
        return Envelope(cls(**values), request_id, numbers.get("re"), numbers.get("seq"))

    def _check_envelope(self, wire_type: str, kind: Kind, names: frozenset[str], raw: dict[str, Any]) -> None:
        needed = {Kind.REQUEST: "id", Kind.PUSH: "seq"}.get(kind)
        if needed is not None and needed not in raw:
            raise MessageError(
                Code.MISSING_FIELD,
                f"Message {wire_type!r} lacks field {needed!r}.",
                f"Send {ENVELOPE_NUMBER.describe()}.",
            )
        if not self._strict:
            return
        unknown = raw.keys() - names - ENVELOPE_NAMES
        if unknown:
            raise MessageError(
                Code.UNKNOWN_FIELD,
                f"Message {wire_type!r} has no field {_shown(min(unknown))}.",
                f"Its fields are {', '.join(sorted(names)) or 'none'}.",
            )

    @staticmethod
    def _number(raw: dict[str, Any], name: str) -> int:
        try:
            return ENVELOPE_NUMBER.parse(name, raw[name], True)
        except MessageError as refusal:
            raise DecodeError(refusal.code, refusal.message, refusal.suggestion) from None


def _check_depth(value: Any, left: int) -> None:
    if isinstance(value, dict):
        inside: Any = value.values()
    elif isinstance(value, list | tuple):
        inside = value
    else:
        return
    if left == 0:
        raise _too_deep()
    for item in inside:
        if type(item) in (dict, list, tuple):
            _check_depth(item, left - 1)


def _malformed(message: str) -> DecodeError:
    return DecodeError(Code.MALFORMED, message, "Send one map per frame in the format of the chosen subprotocol.")


def _too_deep() -> DecodeError:
    return DecodeError(Code.TOO_DEEP, "The message nests too deeply.", f"Nest at most {DEPTH_MAX} levels.")


def _shown(name: str) -> str:
    """A foreign word as it may stand in an error: short, escaped, quoted."""
    return ascii(name if len(name) <= 40 else name[:40] + "…")
