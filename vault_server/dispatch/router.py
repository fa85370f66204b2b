"""Which operation an order leads to, and whether this caller may give it there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from protocol.errors import Code
from vault_server.core.operation import Caller, Endpoint, Operation, Refusal


class Router:
    """Each order's operation, registered once for all doors."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._operations: dict[type, Operation] = {}
        for operation in operations:
            assert operation.order not in self._operations, f"{operation.order.__name__} is registered twice"
            self._operations[operation.order] = operation

    def route(self, caller: Caller, order: Any) -> Operation:
        """Raises Refusal(WRONG_ENDPOINT)."""
        operation = self._operations.get(type(order))
        if operation is None or caller.endpoint not in operation.callers:
            raise _wrong_endpoint(order, caller.endpoint, sorted(operation.callers) if operation else [])
        return operation

    def operation_of(self, order: Any) -> Operation:
        """Of an order whose caller may give it."""
        return self._operations[type(order)]


def _wrong_endpoint(order: Any, endpoint: Endpoint, allowed: Sequence[Endpoint]) -> Refusal:
    shape = getattr(order, "SHAPE", None)
    name = shape.wire_type if shape is not None else type(order).__name__
    where = " or ".join(f"/{place}" for place in allowed if place is not Endpoint.SERVER)
    return Refusal(
        Code.WRONG_ENDPOINT,
        f"Message {name!r} has no place on /{endpoint}.",
        f"Send it on {where}." if where else "Leave it out: it belongs to the handshake.",
    )
