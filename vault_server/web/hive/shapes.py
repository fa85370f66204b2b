"""How a reply's fields become the `data` of a response, and what that looks like as JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from protocol.envelope import Message
from protocol.fields import Schema, or_null
from protocol.hive_fields import One
from protocol.records import FieldSpec

PAGE = ("cursor", "has_more")
"""Fields of a reply that stand in `meta`, beside `count`."""


@dataclass(frozen=True, slots=True)
class Shape:
    """`inner`: the field whose map `data` is; the reply's other fields stand beside that map's own.

    `lines`: the list that is counted in `meta`. `data` is the list itself, unless the reply says more than it.
    """

    inner: str = ""
    lines: str = ""

    def split(self, reply: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """`data`, and what a page adds to `meta`."""
        held = {name: value for name, value in reply.items() if name not in PAGE}
        if self.inner:
            inner = held.pop(self.inner)
            return {**inner, **held}, {}
        if not self.lines:
            return held, {}
        page = {
            "cursor": reply.get("cursor"),
            "has_more": reply.get("has_more", False),
            "count": len(held[self.lines]),
        }
        return (held[self.lines] if len(held) == 1 else held), page

    def schema(self, reply: type[Message]) -> Schema:
        """What `data` is."""
        held = [spec for spec in reply.SHAPE.fields if spec.name not in PAGE]
        if self.inner:
            [inner] = [spec.field for spec in held if spec.name == self.inner]
            beside = [spec for spec in held if spec.name != self.inner]
            assert isinstance(inner, One), f"{self.inner} of {reply.__name__} is one record"
            return shown([*inner.kind.FIELDS, *beside]) if beside else inner.schema()
        return held[0].field.schema() if self.lines and len(held) == 1 else shown(held)

    def fields(self, reply: type[Message]) -> list[FieldSpec]:
        """The fields of `data`, or of each line of it."""
        held = [spec for spec in reply.SHAPE.fields if spec.name not in PAGE]
        if not self.inner and not (self.lines and len(held) == 1):
            return held
        [record] = [spec.field.kind for spec in held if spec.name == (self.inner or self.lines)]  # type: ignore[attr-defined]
        return [*record.FIELDS, *(spec for spec in held if spec.name != (self.inner or self.lines))]


WHOLE = Shape()


def shown(specs: Iterable[FieldSpec]) -> Schema:
    """A map that the server sends: all of its fields are there, what is absent is null."""
    fields = list(specs)
    return {
        "type": "object",
        "properties": {spec.name: described(spec) for spec in fields},
        "required": [spec.name for spec in fields],
    }


def taken(specs: Iterable[FieldSpec]) -> Schema:
    """A map that the server takes: null is as good as absent, and nothing else may be in it."""
    fields = list(specs)
    schema: Schema = {
        "type": "object",
        "properties": {spec.name: described(spec) for spec in fields},
        "additionalProperties": False,
    }
    required = [spec.name for spec in fields if not spec.optional]
    return {**schema, "required": required} if required else schema


def described(spec: FieldSpec) -> Schema:
    """A field's schema, with its description."""
    schema = spec.field.schema()
    if "$ref" not in schema and "$ref" not in schema.get("items", {}):
        schema["description"] = spec.field.describe()
    if spec.optional and not _takes_null(schema):
        return or_null(schema)
    return schema


def _takes_null(schema: Schema) -> bool:
    return "null" in schema.get("type", ()) or {"type": "null"} in schema.get("anyOf", ())
