"""Small maps of named values: what a message's fields are, and a list of such maps as one field of a message."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, dataclass_transform

from protocol.errors import Code, MessageError
from protocol.fields import Field, Schema, unfit


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a message or record: its wire name, how it travels, and whether it may be absent."""

    name: str
    field: Field
    optional: bool


def specs_of(cls: type) -> tuple[FieldSpec, ...]:
    """The fields of a dataclass, each `Annotated` with a `protocol.fields` field."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return tuple(_spec(f.name, hints[f.name], f) for f in dataclasses.fields(cls))


def _spec(name: str, hint: Any, field: dataclasses.Field[Any]) -> FieldSpec:
    optional = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [h for h in typing.get_args(hint) if h is not type(None)]
        assert len(inner) == 1, f"field {name}: only `X | None` unions travel"
        hint, optional = inner[0], True
    assert typing.get_origin(hint) is typing.Annotated, f"field {name}: needs a protocol.fields annotation"
    assert not optional or field.default is None, f"field {name}: an optional field defaults to None"
    return FieldSpec(name, typing.get_args(hint)[1], optional)


class Record:
    """Base of all records; `FIELDS` is filled in by `@record`."""

    __slots__ = ()
    FIELDS: ClassVar[tuple[FieldSpec, ...]]


R = TypeVar("R", bound=type[Record])


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: R) -> R:
    """Turn a class of annotated fields into a record. Its fields hold plain values: messages nest no deeper."""
    built = dataclass(kw_only=True, slots=True, frozen=True)(cls)
    built.FIELDS = specs_of(built)
    return built  # type: ignore[return-value]


def schema_of(kind: type[Record]) -> Schema:
    """A record's schema, by its name: whoever writes an OpenAPI document puts it where such a document keeps it."""
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


@dataclass(frozen=True, slots=True)
class Records:
    """A list of at most `entries_max` records of one kind.

    `extensible` reads over fields that the record does not have, for what a server sends: a newer one may add some.
    `null_is_absent` takes null for an optional field that is not given, as the hive's messages do.
    """

    as_is: ClassVar[bool] = False

    kind: type[Record]
    entries_max: int
    extensible: bool = False
    entries_min: int = 0
    null_is_absent: bool = False

    def parse(self, name: str, value: Any, binary: bool) -> tuple[Record, ...]:
        """See `fields.Field`."""
        if not isinstance(value, list) or not self.entries_min <= len(value) <= self.entries_max:
            raise unfit(name, value, self)
        return tuple(self._read(f"{name}[{index}]", entry, binary) for index, entry in enumerate(value))

    def dump(self, value: Sequence[Record], binary: bool) -> list[dict[str, Any]]:
        """See `fields.Field`."""
        return [self._write(entry, binary) for entry in value]

    def describe(self) -> str:
        """See `fields.Field`."""
        many = f"{self.entries_min} to" if self.entries_min else "at most"
        return f"a list of {many} {self.entries_max} maps, whose fields follow"

    def schema(self) -> Schema:
        """See `fields.Field`."""
        size = {"minItems": self.entries_min, "maxItems": self.entries_max}
        return {"type": "array", "items": schema_of(self.kind), **size}

    def _read(self, name: str, entry: Any, binary: bool) -> Record:
        if not isinstance(entry, dict) or not all(isinstance(key, str) for key in entry):
            raise unfit(name, entry, self)
        if not self.extensible and (unknown := entry.keys() - {spec.name for spec in self.kind.FIELDS}):
            raise MessageError(
                Code.UNKNOWN_FIELD,
                f"{name} has {len(unknown)} fields that it should not have.",
                f"Its fields are {', '.join(sorted(spec.name for spec in self.kind.FIELDS))}.",
            )
        return self.kind(**self._values(name, entry, binary))

    def _values(self, name: str, entry: Mapping[str, Any], binary: bool) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for spec in self.kind.FIELDS:
            if spec.name in entry and not (self.null_is_absent and spec.optional and entry[spec.name] is None):
                values[spec.name] = spec.field.parse(f"{name}.{spec.name}", entry[spec.name], binary)
            elif not spec.optional:
                raise MessageError(
                    Code.MISSING_FIELD, f"{name} lacks field {spec.name!r}.", f"Send {spec.field.describe()}."
                )
        return values

    def _write(self, entry: Record, binary: bool) -> dict[str, Any]:
        held = ((spec, getattr(entry, spec.name)) for spec in self.kind.FIELDS)
        return {spec.name: spec.field.dump(value, binary) for spec, value in held if value is not None}
