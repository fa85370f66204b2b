"""What docs/protocol.md says of the hive's messages, beside what their classes say."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Iterator, Mapping

from protocol import hive, hive_records, hive_replies
from protocol.envelope import Kind, Message
from protocol.errors import Code
from protocol.hive_fields import One, OrNull, Several
from protocol.records import FieldSpec, Record, Records
from vault_server.settings import Settings
from vault_server.systems.hive.system import HANDLERS
from vault_server.web.hive.routes import ROUTES

REPLIES: Mapping[str, str] = {
    order.SHAPE.wire_type: typing.get_type_hints(handler)["return"].SHAPE.wire_type
    for order, handler in HANDLERS.items()
    if issubclass(order, Message)
}
"""What the operations say themselves."""

BY_PEOPLE: Mapping[str, tuple[Code, ...]] = {
    "list_disputes": (Code.INVALID_PARAMETER,),
    "resolve_dispute": (Code.TASK_NOT_FOUND, Code.INVALID_STATUS),
    "register_agent": (Code.MAX_AGENTS,),
    "list_my_agents": (Code.INVALID_PARAMETER,),
    "rotate_key": (Code.AGENT_NOT_FOUND,),
    "revoke_key": (Code.AGENT_NOT_FOUND,),
    "set_agent_status": (Code.AGENT_NOT_FOUND,),
    "deposit": (Code.USER_NOT_FOUND,),
}
"""Refusals of what has no route on REST: only people do it."""

REFUSALS: Mapping[str, tuple[Code, ...]] = {
    **{route.name: route.refusals for route in ROUTES if route.refusals},
    **BY_PEOPLE,
}

SETTINGS = (
    "hive_body_bytes_max", "hive_requests_max", "hive_requests_window_ms", "hive_recheck_ms", "connections_per_key_max",
    "queue_messages_max", "push_window", "bad_messages_max", "handshake_ms_max", "buffer_bytes_max", "silence_ms_max",
    "hive_idempotency_ms", "hive_events_kept_ms", "hive_agents_max", "hive_open_tasks_max", "hive_webhooks_max",
    "hive_matches_max",
)  # fmt: skip
"""Settings that an agent on /hive can meet; nobody is sent them."""


def _table(fields: Iterable[FieldSpec]) -> Iterator[str]:
    yield "| field | value | |"
    yield "|---|---|---|"
    for spec in fields:
        optional = "null clears, absent keeps" if isinstance(spec.field, OrNull) else "or null"
        yield f"| `{spec.name}` | {_described(spec)} | {optional if spec.optional else 'needed'} |"


def _described(spec: FieldSpec) -> str:
    kind = getattr(spec.field, "kind", None)
    if isinstance(kind, type) and issubclass(kind, Record):
        name = kind.__name__
        link = f"[{name}](#hive-{name.lower()})"
        if isinstance(spec.field, One):
            return link
        assert isinstance(spec.field, Several | Records), f"{spec.name} is a list"
        return f"a list of {getattr(spec.field, 'entries_min', 0)} to {spec.field.entries_max} of {link}"
    return spec.field.describe()


def _messages(classes: Iterable[type[Message]]) -> Iterator[str]:
    for cls in classes:
        name, kind = cls.SHAPE.wire_type, cls.SHAPE.kind
        answered = f", answered by `{REPLIES[name]}`" if kind is Kind.REQUEST else ""
        asks = ", a question" if cls in hive.QUESTIONS else ""
        yield f"**`{name}`** ({kind.value}{asks}{answered}). {' '.join((cls.__doc__ or '').split())}"
        yield ""
        if cls.SHAPE.fields:
            yield from _table(cls.SHAPE.fields)
        else:
            yield "No fields."
        yield ""
        if name in REFUSALS and kind is Kind.REQUEST:
            yield f"Refused with {', '.join(f'`{code}`' for code in REFUSALS[name])}."
            yield ""


def records() -> Iterator[str]:
    """Every map that messages hold."""
    for kind in vars(hive_records).values():
        if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record:
            name, meaning = kind.__name__, " ".join((kind.__doc__ or "").split())
            yield f'<a id="hive-{name.lower()}"></a>**{name}.** {meaning}'
            yield ""
            yield from _table(kind.FIELDS)
            yield ""


def refusals() -> Iterator[str]:
    """The hive's codes, and how REST says them."""
    yield "| code | on REST |"
    yield "|---|---|"
    for code, status in hive.HTTP_STATUSES.items():
        yield f"| `{code}` | {status} |"


def settings() -> Iterator[str]:
    """The limits of /hive."""
    yield "| limit | default | meaning |"
    yield "|---|---|---|"
    for name in SETTINGS:
        field = Settings.model_fields[name]
        yield f"| `{name}` | {field.default:,} | {field.description} |"


BLOCKS: Mapping[str, Callable[[], Iterator[str]]] = {
    "hive-requests": lambda: _messages(hive.TO_SERVER),
    "hive-replies": lambda: _messages(cls for cls in hive_replies.FROM_SERVER if cls.SHAPE.kind is Kind.REPLY),
    "hive-events": lambda: _messages(hive_replies.PUSHED),
    "hive-records": records,
    "hive-codes": refusals,
    "hive-limits": settings,
}
