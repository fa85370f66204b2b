"""Refuses here what the server would refuse as BAD_FIELD: it would be sent, and sent again after every reconnect."""

from __future__ import annotations

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from vault_client.errors import Refused


def check_fields(message: Message) -> None:
    """Raises Refused."""
    for spec in message.SHAPE.fields:
        value = getattr(message, spec.name)
        if value is None and spec.optional:
            continue
        try:
            spec.field.parse(spec.name, spec.field.dump(value, True), True)
        except MessageError as refusal:
            raise Refused.of(refusal) from None
        except (OverflowError, AttributeError, TypeError):  # a negative natural, or no number at all
            raise Refused(
                Code.BAD_FIELD.value,
                f"Field {spec.name!r} has a value that does not fit.",
                f"Send {spec.field.describe()}.",
                retryable=False,
            ) from None
