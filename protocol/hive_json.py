"""The hive's messages as JSON: null where an optional value is absent, and the other way round.

REST, the socket and what is kept for a repetition all write and read messages with these two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from protocol.hive_fields import OrNull

M = TypeVar("M", bound=Message)


def to_json(message: Message) -> dict[str, Any]:
    """A message's fields, every one of them: what is absent is null."""
    held = ((spec, getattr(message, spec.name)) for spec in message.SHAPE.fields)
    return {spec.name: None if value is None else spec.field.dump(value, False) for spec, value in held}


def from_json(cls: type[M], body: Mapping[str, Any], *, strict: bool = True) -> M:
    """The message that a map holds; null is absent, except where it clears a value.

    `strict` refuses fields that the message does not have. Raises MessageError with the code of the fault;
    `hive.told_as` says what the hive calls it.
    """
    shape = cls.SHAPE
    if strict and not body.keys() <= shape.names:
        unknown = min(body.keys() - shape.names)
        raise MessageError(
            Code.UNKNOWN_FIELD,
            f"There is no field {unknown[:40]!a}.",
            f"The fields are {', '.join(sorted(shape.names)) or 'none'}.",
        )
    values: dict[str, Any] = {}
    for spec in shape.fields:
        given = body.get(spec.name)
        if given is not None or (spec.name in body and isinstance(spec.field, OrNull)):
            values[spec.name] = spec.field.parse(spec.name, given, False)
        elif not spec.optional:
            raise MessageError(Code.MISSING_FIELD, f"Field {spec.name!r} is missing.", f"Send {spec.field.describe()}.")
    return cls(**values)
