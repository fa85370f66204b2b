"""JSON inside a message: it travels as a text in both formats, and is written in one canonical form where it arrives.

Two texts of the same value are the same bytes: neither blanks nor the order of keys say who wrote it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from protocol.fields import Schema, unfit

JSON_DEPTH_MAX = 32
"""Levels of lists and maps within one text, its own included."""


class NotJson(ValueError):
    """The text is not JSON that every reader takes, or the value cannot be written so."""


def canonical(value: Any) -> str:
    """The one way to write a JSON value: no blanks, keys in order of code points, nothing escaped that need not be.

    Raises NotJson for what is no JSON: other types, NaN, infinity, lone surrogates, more than JSON_DEPTH_MAX levels.
    """
    _check_depth(value, JSON_DEPTH_MAX)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError) as error:
        raise NotJson(f"no JSON: {type(error).__name__}") from None
    return text


def read(text: str) -> Any:
    """The value of a JSON text. Raises NotJson."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise NotJson(f"no JSON: {type(error).__name__}") from None


def _refuse(constant: str) -> NoReturn:
    raise NotJson(f"{constant} is no JSON")


def _check_depth(value: Any, left: int) -> None:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else None
    if inside is None:
        return
    if left == 0:
        raise NotJson(f"deeper than {JSON_DEPTH_MAX} levels")
    for item in inside:
        _check_depth(item, left - 1)


@dataclass(frozen=True, slots=True)
class JsonText:
    """A JSON value other than null, as a text of at most `bytes_max` bytes of UTF-8; `only_object`: a map at its top.

    The Python value is the canonical text; `read` gives what it holds.
    """

    as_is: ClassVar[bool] = True

    bytes_max: int
    only_object: bool = False

    def parse(self, name: str, value: Any, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        if not isinstance(value, str) or len(value) > self.bytes_max:
            raise unfit(name, value, self)
        try:
            held = read(value)
            text = canonical(held)
        except NotJson:
            raise unfit(name, value, self) from None
        if held is None or (self.only_object and not isinstance(held, dict)):
            raise unfit(name, value, self)
        if len(text.encode()) > self.bytes_max:
            raise unfit(name, value, self)
        return text

    def dump(self, value: str, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        return value

    def describe(self) -> str:
        """See `fields.Field`."""
        what = "a JSON object" if self.only_object else "a JSON value other than null"
        return f"{what}, written as a text of at most {self.bytes_max} bytes"

    def schema(self) -> Schema:
        """See `fields.Field`."""
        return {"type": "string", "maxLength": self.bytes_max, "contentMediaType": "application/json"}
