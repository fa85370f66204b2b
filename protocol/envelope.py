"""What wraps every message (`id`, `re`, `seq`), and how a message class declares its fields.

A message is a dataclass whose fields are `Annotated` with a `protocol.fields` field; `@message` reads them once
and keeps them as `Shape`. `id` is the sender's number for a request, `re` names the request this answers, `seq` numbers
a durable push that its receiver acknowledges (design §6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Any, ClassVar, TypeVar, dataclass_transform

from protocol.fields import FLAT, Integer
from protocol.records import FieldSpec, specs_of

ENVELOPE_NUMBER = Integer(minimum=0)
"""`id`, `re` and `seq` are plain integers."""


class Kind(Enum):
    """What a message expects of its receiver."""

    REQUEST = "request"
    """Needs `id`, is answered by exactly one reply or error."""
    REPLY = "reply"
    """Answers the request in `re`."""
    PUSH = "push"
    """Durable: carries `seq`, comes again until acknowledged."""
    SIGNAL = "signal"
    """Neither answered nor kept."""


ENVELOPE_NAMES = frozenset({"type", "id", "re", "seq"})


class Shape:
    """What the codec needs to know of one message class, laid out for it once."""

    __slots__ = (
        "fields",
        "is_flat",
        "kind",
        "known",
        "names",
        "needed",
        "readers",
        "values_of",
        "wire_type",
        "writers",
    )

    def __init__(self, wire_type: str, kind: Kind, fields: tuple[FieldSpec, ...]) -> None:
        self.wire_type = wire_type
        self.kind = kind
        self.fields = fields
        self.values_of = _values_of([spec.name for spec in fields])
        self.names = frozenset(spec.name for spec in fields)
        self.known = self.names | ENVELOPE_NAMES
        self.needed = {Kind.REQUEST: "id", Kind.PUSH: "seq"}.get(kind)
        self.is_flat = all(type(spec.field) in FLAT for spec in fields)
        self.readers = tuple((spec.name, spec.field.parse, spec.optional) for spec in fields)
        self.writers = tuple((spec.name, None if spec.field.as_is else spec.field.dump) for spec in fields)


def _values_of(names: Sequence[str]) -> Callable[[Message], tuple[Any, ...]]:
    """Gets a message's values in the order of its fields."""
    if len(names) < 2:  # attrgetter would give no tuple
        return lambda message: tuple([getattr(message, name) for name in names])
    return attrgetter(*names)


class Message:
    """Base of all messages; `SHAPE` is filled in by `@message`."""

    __slots__ = ()
    SHAPE: ClassVar[Shape]

    def __reduce__(self) -> tuple[Any, ...]:
        """Messages pass between processes of one server. By position: by name it costs a third more."""
        return type(self), self.SHAPE.values_of(self)


M = TypeVar("M", bound=type[Message])


@dataclass_transform(frozen_default=True, kw_only_default=True)
def message(wire_type: str, kind: Kind) -> Callable[[M], M]:
    """Turn a class of annotated fields into a message of that wire name."""

    def build(cls: M) -> M:
        # The type checker holds them frozen and made by keywords; at run time that would treble the cost of making
        # one, and a server makes one for every frame. The codec makes them by position.
        built = dataclass(slots=True)(cls)
        built.SHAPE = Shape(wire_type, kind, specs_of(built))
        return built  # type: ignore[return-value]

    return build


@dataclass(slots=True)
class Envelope:
    """One message with what wraps it."""

    message: Message
    id: int | None = None
    re: int | None = None
    seq: int | None = None
