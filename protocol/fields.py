"""The value types that messages are made of: each parses one wire value, or refuses it by name, and writes it back.

A field never guesses: a boolean is not a number, a string not a key. Big naturals are big-endian bytes in msgpack and
lower-case hex in JSON (design §6); everything else looks the same in both.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from protocol.errors import Code, MessageError

INTEGER_MAX = 2**53 - 1
"""Largest plain integer: what every JSON reader keeps exactly (RFC 8259 §6)."""

Schema = dict[str, Any]
"""A JSON Schema."""

_HEX = re.compile(r"(?:[0-9a-f]{2})+")
_HEX_DIGITS = re.compile(r"[0-9a-f]+")
_WORD = re.compile(r"[A-Za-z0-9_.-]+")


class Field(Protocol):
    """How one kind of value travels. `binary` is true for msgpack, false for JSON.

    `as_is` says that `dump` would give its value back unchanged, in both formats.
    """

    as_is: ClassVar[bool]

    def parse(self, name: str, value: Any, binary: bool) -> Any:
        """Return the Python value, or raise MessageError(BAD_FIELD)."""

    def dump(self, value: Any, binary: bool) -> Any:
        """Return what the codec writes."""

    def describe(self) -> str:
        """One line for docs and error messages."""

    def schema(self) -> Schema:
        """The same as JSON Schema (2020-12), of the value in JSON: as near as that can say it."""


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def kind_of(value: Any) -> str:
    """What a value is in JSON, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case bytes():
            return "bytes"
        case list():
            return "a list"
        case _:
            return "an object"


def characters(text: str) -> str:
    """How long a text is, in words."""
    return "1 character" if len(text) == 1 else f"{len(text)} characters"


def unfit(name: str, value: Any, field: Field, why: str | None = None) -> MessageError:
    """The refusal of a value. The value itself stays out of it: it may be a secret parameter."""
    return MessageError(
        Code.BAD_FIELD, f"Field {name!r} does not fit: it {why or f'is {kind_of(value)}'}.", f"Send {field.describe()}."
    )


@dataclass(frozen=True, slots=True)
class Natural:
    """A natural number of any size up to `bytes_max` bytes, big-endian; leading zero bytes are allowed."""

    as_is: ClassVar[bool] = False

    bytes_max: int = 1024

    def parse(self, name: str, value: Any, binary: bool) -> int:
        raw = value if binary and type(value) is bytes else _octets(name, value, binary, self)
        if not 1 <= len(raw) <= self.bytes_max:
            raise unfit(name, value, self)
        return int.from_bytes(raw, "big")

    def dump(self, value: int, binary: bool) -> bytes | str:
        raw = value.to_bytes((value.bit_length() + 7) // 8 or 1, "big")
        return raw if binary else raw.hex()

    def describe(self) -> str:
        return f"a natural number as 1 to {self.bytes_max} big-endian bytes (hex in JSON)"

    def schema(self) -> Schema:
        return {"type": "string", "pattern": "^(?:[0-9a-f]{2})+$", "maxLength": 2 * self.bytes_max}


@dataclass(frozen=True, slots=True)
class Octets:
    """Raw bytes (hex in JSON), between `bytes_min` and `bytes_max` of them."""

    as_is: ClassVar[bool] = False

    bytes_min: int
    bytes_max: int

    def parse(self, name: str, value: Any, binary: bool) -> bytes:
        raw = _octets(name, value, binary, self)
        if not self.bytes_min <= len(raw) <= self.bytes_max:
            raise unfit(name, value, self)
        return raw

    def dump(self, value: bytes, binary: bool) -> bytes | str:
        return value if binary else value.hex()

    def describe(self) -> str:
        size = f"{self.bytes_min}" if self.bytes_min == self.bytes_max else f"{self.bytes_min} to {self.bytes_max}"
        return f"{size} bytes (hex in JSON)"

    def schema(self) -> Schema:
        size = {"minLength": 2 * self.bytes_min, "maxLength": 2 * self.bytes_max}
        return {"type": "string", "pattern": "^(?:[0-9a-f]{2})+$", **size}


def _octets(name: str, value: Any, binary: bool, field: Field) -> bytes:
    if binary:
        if not isinstance(value, bytes):
            raise unfit(name, value, field)
        return value
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise unfit(name, value, field)
    return bytes.fromhex(value)


@dataclass(frozen=True, slots=True)
class Integer:
    """A plain integer, `minimum` to `maximum`, both included."""

    as_is: ClassVar[bool] = True

    minimum: int = 0
    maximum: int = INTEGER_MAX

    def parse(self, name: str, value: Any, binary: bool) -> int:
        if type(value) is not int or not self.minimum <= value <= self.maximum:
            raise unfit(name, value, self)
        return value

    def dump(self, value: int, binary: bool) -> int:
        return value

    def describe(self) -> str:
        return f"an integer from {self.minimum} to {self.maximum}"

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number, `minimum` to `maximum`, both included."""

    as_is: ClassVar[bool] = True

    minimum: float = 0.0
    maximum: float = sys.float_info.max

    def parse(self, name: str, value: Any, binary: bool) -> float:
        # One comparison refuses NaN, infinity, and an integer that no float can hold.
        if type(value) not in (int, float) or not self.minimum <= value <= self.maximum:
            raise unfit(name, value, self)
        return float(value)

    def dump(self, value: float, binary: bool) -> float:
        return value

    def describe(self) -> str:
        if self.maximum == sys.float_info.max:
            return f"a finite number, {self.minimum:g} or more"
        return f"a number from {self.minimum:g} to {self.maximum:g}"

    def schema(self) -> Schema:
        above = {} if self.maximum == sys.float_info.max else {"maximum": self.maximum}
        return {"type": "number", "minimum": self.minimum, **above}


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    as_is: ClassVar[bool] = True

    def parse(self, name: str, value: Any, binary: bool) -> bool:
        if type(value) is not bool:
            raise unfit(name, value, self)
        return value

    def dump(self, value: bool, binary: bool) -> bool:
        return value

    def describe(self) -> str:
        return "true or false"

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Text:
    """A string of `length_min` to `length_max` characters, printable throughout."""

    as_is: ClassVar[bool] = True

    length_max: int
    length_min: int = 0

    def parse(self, name: str, value: Any, binary: bool) -> str:
        if not isinstance(value, str):
            raise unfit(name, value, self)
        if not self.length_min <= len(value) <= self.length_max:
            raise unfit(name, value, self, f"has {characters(value)}")
        if not value.isprintable():
            raise unfit(name, value, self, "has characters that cannot be printed")
        return value

    def dump(self, value: str, binary: bool) -> str:
        return value

    def describe(self) -> str:
        return f"{self.length_min} to {self.length_max} printable characters"

    def schema(self) -> Schema:
        return {"type": "string", "minLength": self.length_min, "maxLength": self.length_max}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    as_is: ClassVar[bool] = True

    words: tuple[str, ...]

    def parse(self, name: str, value: Any, binary: bool) -> str:
        if not isinstance(value, str):
            raise unfit(name, value, self)
        if value not in self.words:
            raise unfit(name, value, self, "is another word")
        return value

    def dump(self, value: str, binary: bool) -> str:
        return value

    def describe(self) -> str:
        return "one of " + ", ".join(self.words)

    def schema(self) -> Schema:
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class HexKey:
    """Lower-case hex digits, `digits` of them, as text in both formats: fingerprints (32), hotkeys (64)."""

    as_is: ClassVar[bool] = True

    digits: int

    def parse(self, name: str, value: Any, binary: bool) -> str:
        if not isinstance(value, str) or len(value) != self.digits or not _HEX_DIGITS.fullmatch(value):
            raise unfit(name, value, self)
        return value

    def dump(self, value: str, binary: bool) -> str:
        return value

    def describe(self) -> str:
        return f"{self.digits} lower-case hex digits"

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^[0-9a-f]{{{self.digits}}}$"}


@dataclass(frozen=True, slots=True)
class Counts:
    """A map from short names to integers, with at most `entries_max` of them."""

    as_is: ClassVar[bool] = False

    entries_max: int
    key_length_max: int = 64

    def parse(self, name: str, value: Any, binary: bool) -> dict[str, int]:
        if not isinstance(value, dict) or len(value) > self.entries_max:
            raise unfit(name, value, self)
        for key, count in value.items():
            if not isinstance(key, str) or not 1 <= len(key) <= self.key_length_max or not key.isprintable():
                raise unfit(name, value, self)
            if type(count) is not int or not 0 <= count <= INTEGER_MAX:
                raise unfit(name, value, self)
        return value

    def dump(self, value: Mapping[str, int], binary: bool) -> dict[str, int]:
        return dict(value)

    def describe(self) -> str:
        return f"a map of at most {self.entries_max} names to integers from 0 to {INTEGER_MAX}"

    def schema(self) -> Schema:
        count = {"type": "integer", "minimum": 0, "maximum": INTEGER_MAX}
        return {"type": "object", "maxProperties": self.entries_max, "additionalProperties": count}


@dataclass(frozen=True, slots=True)
class Word:
    """A name of 1 to `length_max` letters, digits, `_`, `.` and `-`, ASCII alone."""

    as_is: ClassVar[bool] = True

    length_max: int

    def parse(self, name: str, value: Any, binary: bool) -> str:
        if not isinstance(value, str) or len(value) > self.length_max or not _WORD.fullmatch(value):
            raise unfit(name, value, self)
        return value

    def dump(self, value: str, binary: bool) -> str:
        return value

    def describe(self) -> str:
        return f"1 to {self.length_max} letters, digits, `_`, `.` or `-`"

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^[A-Za-z0-9_.-]{{1,{self.length_max}}}$"}


@dataclass(frozen=True, slots=True)
class Words:
    """Some of a few words, each at most once, in any order."""

    as_is: ClassVar[bool] = False

    words: tuple[str, ...]

    def parse(self, name: str, value: Any, binary: bool) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(word, str) and word in self.words for word in value):
            raise unfit(name, value, self)
        if len(set(value)) < len(value):
            raise unfit(name, value, self)
        return tuple(value)

    def dump(self, value: Sequence[str], binary: bool) -> list[str]:
        return list(value)

    def describe(self) -> str:
        return "a list of any of " + ", ".join(self.words)

    def schema(self) -> Schema:
        return {"type": "array", "uniqueItems": True, "items": {"type": "string", "enum": list(self.words)}}


FLAT = frozenset({Natural, Octets, Integer, Number, Flag, Text, Choice, HexKey, Word})
"""Fields that refuse every list and every map: how deep a value nests need not be looked at before they do."""

MILLISECONDS = Integer()
"""UTC milliseconds since 1970, or a span of them."""

FINGERPRINT = HexKey(32)
"""The first 16 bytes of SHA-256 of an Ed25519 public key, or a task's random 16 bytes."""

HOTKEY = HexKey(64)
"""An Ed25519 public key."""
