"""The kinds of values that only the hive's messages have: times as text, prose, links, lists, and null to clear."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from protocol.fields import Field, Integer, Schema, characters, or_null, unfit
from protocol.records import Record, schema_of

INSTANT_MAX_MS = 253_402_300_799_999
"""The last one whose year has four digits."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)")
_CURSOR = re.compile(r"[A-Za-z0-9_=-]+")
_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+")


# For JSON Schema, whose readers differ in what they call blank: the characters that `str.strip` cuts off, and others.
_BLANKS = r"\t\n\u000b\u000c\r\u001c-\u001f \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_ALLOWED_IN_A_LINE = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]"
_ALLOWED_IN_TEXT = r"[^\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]"
_NO_NUL = r"[^\u0000]"
_LINK = r"://[A-Za-z0-9][A-Za-z0-9.-]*(?::[1-9][0-9]{0,3})?(?:[/?#][!-\[\]-~]*)?$"


_SHOWN_MAX = 10**15
"""Numbers up to here are shown to who sent them; of longer ones the size alone would fill a line."""


@dataclass(frozen=True, slots=True)
class Amount(Integer):
    """An integer of the hive, where numbers are no secrets: the refusal of one shows it."""

    def parse(self, name: str, value: Any, binary: bool) -> int:  # noqa: ARG002
        """See `fields.Field`."""
        if type(value) is int and self.minimum <= value <= self.maximum:
            return value
        is_shown = type(value) in (int, float) and abs(value) <= _SHOWN_MAX
        raise unfit(name, value, self, f"is {value}" if is_shown else None)


def instant_text(ms: int) -> str:
    """UTC milliseconds since 1970 as ISO 8601, with `Z`."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment: ISO 8601 with a zone on the wire, UTC milliseconds since 1970 in Python."""

    as_is: ClassVar[bool] = False

    def parse(self, name: str, value: Any, binary: bool) -> int:  # noqa: ARG002
        """See `fields.Field`."""
        if not isinstance(value, str):
            raise unfit(name, value, self)
        if not _INSTANT.fullmatch(value):
            raise unfit(name, value, self, "is written in another way")
        try:
            since = datetime.fromisoformat(value) - _EPOCH
        except (ValueError, OverflowError):
            raise unfit(name, value, self, "is a time that never is") from None
        ms = since // timedelta(milliseconds=1)
        if not 0 <= ms <= INSTANT_MAX_MS:
            raise unfit(name, value, self, "is before 1970 or after 9999")
        return ms

    def dump(self, value: int, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        return instant_text(value)

    def describe(self) -> str:
        """See `fields.Field`."""
        return "a time in ISO 8601 with its zone, such as 2030-01-31T12:00:00Z"

    def schema(self) -> Schema:
        """See `fields.Field`."""
        return {"type": "string", "format": "date-time"}


@dataclass(frozen=True, slots=True)
class Prose:
    """Text of `length_min` to `length_max` characters once blanks around it are cut off; `is_line`: of one line.

    No control characters but tab and line feed, and nothing that UTF-8 cannot write.
    """

    as_is: ClassVar[bool] = True

    length_max: int
    length_min: int = 1
    is_line: bool = False

    def parse(self, name: str, value: Any, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        if not isinstance(value, str):
            raise unfit(name, value, self)
        text = value.replace("\r\n", "\n").strip()
        allowed = "" if self.is_line else "\n\t"
        if not self.length_min <= len(text) <= self.length_max:
            raise unfit(name, value, self, f"has {characters(text)}")
        if any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") and each not in allowed for each in text):
            lines = "line breaks or " if self.is_line else ""
            raise unfit(name, value, self, f"has {lines}control characters")
        return text

    def dump(self, value: str, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        return value

    def describe(self) -> str:
        """See `fields.Field`."""
        what = "on one line, " if self.is_line else ""
        return f"a text, {what}{self.length_min} to {self.length_max} characters without the blanks around it"

    def schema(self) -> Schema:
        """See `fields.Field`."""
        inner = _ALLOWED_IN_A_LINE if self.is_line else _ALLOWED_IN_TEXT
        ends = inner.replace("[^", "[^" + _BLANKS)
        middle = f"{{{self.length_min - 2},}}" if self.length_min > 2 else "*"
        rest = f"(?:{inner}{middle}{ends})" + ("?" if self.length_min == 1 else "")
        pattern = f"^[{_BLANKS}]*{ends}{rest}[{_BLANKS}]*$"
        return {"type": "string", "minLength": self.length_min, "maxLength": self.length_max, "pattern": pattern}


@dataclass(frozen=True, slots=True)
class Work:
    """Text kept exactly as it came, 1 to `length_max` characters, not only blanks."""

    as_is: ClassVar[bool] = True

    length_max: int

    def parse(self, name: str, value: Any, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        if not isinstance(value, str):
            raise unfit(name, value, self)
        if not 1 <= len(value) <= self.length_max:
            raise unfit(name, value, self, f"has {characters(value)}")
        if not value.strip():
            raise unfit(name, value, self, "has only blanks")
        if "\0" in value or any("\ud800" <= each <= "\udfff" for each in value):
            raise unfit(name, value, self, "has a NUL, or half a character")
        return value

    def dump(self, value: str, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        return value

    def describe(self) -> str:
        """See `fields.Field`."""
        return f"a text of 1 to {self.length_max} characters, not only blanks"

    def schema(self) -> Schema:
        """See `fields.Field`."""
        pattern = f"^{_NO_NUL}*[^{_BLANKS}\\u0000]{_NO_NUL}*$"
        return {"type": "string", "minLength": 1, "maxLength": self.length_max, "pattern": pattern}


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail address, in lower case and without the blanks around it."""

    as_is: ClassVar[bool] = True

    length_max: int = 254

    def parse(self, name: str, value: Any, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        if not isinstance(value, str):
            raise unfit(name, value, self)
        text = value.strip().lower()
        if len(text) > self.length_max:
            raise unfit(name, value, self, f"has {characters(text)}")
        if not _EMAIL.fullmatch(text):
            raise unfit(name, value, self, "is no e-mail address")
        return text

    def dump(self, value: str, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        return value

    def describe(self) -> str:
        """See `fields.Field`."""
        return f"an e-mail address of at most {self.length_max} characters"

    def schema(self) -> Schema:
        """See `fields.Field`."""
        return {"type": "string", "format": "email", "maxLength": self.length_max}


class Hidden:
    """A text that shows itself to nobody who only prints it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __repr__(self) -> str:
        return "Hidden"


@dataclass(frozen=True, slots=True)
class Password:
    """A password, kept hidden: any text of `length_min` to `length_max` characters that UTF-8 can write."""

    as_is: ClassVar[bool] = False

    length_min: int = 8
    length_max: int = 1024

    def parse(self, name: str, value: Any, binary: bool) -> Hidden:  # noqa: ARG002
        """See `fields.Field`."""
        if not isinstance(value, str):
            raise unfit(name, value, self)
        if not self.length_min <= len(value) <= self.length_max:
            raise unfit(name, value, self, f"has {characters(value)}")
        if any("\ud800" <= each <= "\udfff" for each in value):
            raise unfit(name, value, self, "has half a character")
        return Hidden(value)

    def dump(self, value: Hidden, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        return value.reveal()

    def describe(self) -> str:
        """See `fields.Field`."""
        return f"a password of {self.length_min} to {self.length_max} characters"

    def schema(self) -> Schema:
        """See `fields.Field`."""
        return {"type": "string", "minLength": self.length_min, "maxLength": self.length_max}


@dataclass(frozen=True, slots=True)
class Link:
    """An absolute URL, without name and password in it: https, or http where the server allows that; `is_https`: https
    on every server.
    """

    as_is: ClassVar[bool] = True

    length_max: int = 2000
    is_https: bool = False

    def parse(self, name: str, value: Any, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        if not isinstance(value, str):
            raise unfit(name, value, self)
        if len(value) > self.length_max:
            raise unfit(name, value, self, f"has {characters(value)}")
        if not (value.isascii() and value.isprintable()) or " " in value or "\\" in value:
            raise unfit(name, value, self, "has blanks, backslashes or characters other than ASCII")
        try:
            parts = urlsplit(value)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise unfit(name, value, self, "is no URL") from None
        schemes = ("https",) if self.is_https else ("https", "http")
        if parts.scheme not in schemes or not host or "@" in parts.netloc:
            raise unfit(name, value, self, "is no such URL")
        return value

    def dump(self, value: str, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        return value

    def describe(self) -> str:
        """See `fields.Field`."""
        return f"an https URL of at most {self.length_max} characters"

    def schema(self) -> Schema:
        """See `fields.Field`."""
        scheme = "^https" if self.is_https else "^https?"
        return {"type": "string", "pattern": scheme + _LINK, "maxLength": self.length_max}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of at most `entries_max` values of one kind, each once."""

    as_is: ClassVar[bool] = False

    kind: Field
    entries_max: int
    entries_min: int = 0

    def parse(self, name: str, value: Any, binary: bool) -> tuple[Any, ...]:
        """See `fields.Field`."""
        if not isinstance(value, list):
            raise unfit(name, value, self)
        if not self.entries_min <= len(value) <= self.entries_max:
            raise unfit(name, value, self, f"has {len(value)} {'entry' if len(value) == 1 else 'entries'}")
        entries = tuple(self.kind.parse(f"{name}[{index}]", entry, binary) for index, entry in enumerate(value))
        if len(set(entries)) < len(entries):
            raise unfit(name, value, self, "has something twice")
        return entries

    def dump(self, value: Sequence[Any], binary: bool) -> list[Any]:
        """See `fields.Field`."""
        return [self.kind.dump(entry, binary) for entry in value]

    def describe(self) -> str:
        """See `fields.Field`."""
        return f"a list of {self.entries_min} to {self.entries_max}, each once: {self.kind.describe()}"

    def schema(self) -> Schema:
        """See `fields.Field`."""
        size = {"minItems": self.entries_min, "maxItems": self.entries_max, "uniqueItems": True}
        return {"type": "array", "items": self.kind.schema(), **size}


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended: only who made it can read it. Letters, digits, `-`, `_` and `=`, 1 to `length_max`."""

    as_is: ClassVar[bool] = True

    length_max: int = 400

    def parse(self, name: str, value: Any, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        if not isinstance(value, str):
            raise unfit(name, value, self)
        if len(value) > self.length_max or not _CURSOR.fullmatch(value):
            raise unfit(name, value, self, "is no cursor")
        return value

    def dump(self, value: str, binary: bool) -> str:  # noqa: ARG002
        """See `fields.Field`."""
        return value

    def describe(self) -> str:
        """See `fields.Field`."""
        return "the cursor of the page before, as it came"

    def schema(self) -> Schema:
        """See `fields.Field`."""
        return {"type": "string", "pattern": f"^{_CURSOR.pattern}$", "maxLength": self.length_max}


class Cleared:
    """What `null` stands for in a change: take the value away."""

    def __repr__(self) -> str:
        return "CLEARED"

    def __reduce__(self) -> str:
        """There is only one, in each process."""
        return "CLEARED"


CLEARED = Cleared()


@dataclass(frozen=True, slots=True)
class OrNull:
    """A value, or null to clear it: CLEARED in Python."""

    as_is: ClassVar[bool] = False

    kind: Field

    def parse(self, name: str, value: Any, binary: bool) -> Any:
        """See `fields.Field`."""
        return CLEARED if value is None else self.kind.parse(name, value, binary)

    def dump(self, value: Any, binary: bool) -> Any:
        """See `fields.Field`."""
        return None if value is CLEARED else self.kind.dump(value, binary)

    def describe(self) -> str:
        """See `fields.Field`."""
        return f"{self.kind.describe()}; or null, which clears it"

    def schema(self) -> Schema:
        """See `fields.Field`."""
        return or_null(self.kind.schema())


@dataclass(frozen=True, slots=True)
class One:
    """One record, as a map."""

    as_is: ClassVar[bool] = False

    kind: type[Record]

    def parse(self, name: str, value: Any, binary: bool) -> Record:
        """See `fields.Field`. Reads over fields it does not know: only servers send such maps."""
        if not isinstance(value, dict):
            raise unfit(name, value, self)
        values: dict[str, Any] = {}
        for spec in self.kind.FIELDS:
            if value.get(spec.name) is not None:
                values[spec.name] = spec.field.parse(f"{name}.{spec.name}", value[spec.name], binary)
            elif not spec.optional:
                raise unfit(f"{name}.{spec.name}", None, self)
        return self.kind(**values)

    def dump(self, value: Record, binary: bool) -> Mapping[str, Any]:
        """See `fields.Field`."""
        held = ((spec, getattr(value, spec.name)) for spec in self.kind.FIELDS)
        return {spec.name: None if each is None else spec.field.dump(each, binary) for spec, each in held}

    def describe(self) -> str:
        """See `fields.Field`."""
        return "a map, whose fields follow"

    def schema(self) -> Schema:
        """See `fields.Field`."""
        return schema_of(self.kind)


@dataclass(frozen=True, slots=True)
class Several:
    """A list of at most `entries_max` records."""

    as_is: ClassVar[bool] = False

    kind: type[Record]
    entries_max: int

    def parse(self, name: str, value: Any, binary: bool) -> tuple[Record, ...]:
        """See `fields.Field`."""
        if not isinstance(value, list) or len(value) > self.entries_max:
            raise unfit(name, value, self)
        one = One(self.kind)
        return tuple(one.parse(f"{name}[{index}]", entry, binary) for index, entry in enumerate(value))

    def dump(self, value: Sequence[Record], binary: bool) -> list[Mapping[str, Any]]:
        """See `fields.Field`."""
        one = One(self.kind)
        return [one.dump(entry, binary) for entry in value]

    def describe(self) -> str:
        """See `fields.Field`."""
        return f"a list of at most {self.entries_max} maps, whose fields follow"

    def schema(self) -> Schema:
        """See `fields.Field`."""
        return {"type": "array", "items": schema_of(self.kind), "maxItems": self.entries_max}
