"""An order on its way to the database: a work of a transaction that may be carried out in another process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vault_server.core.operation import Caller, Operation, Transaction
from vault_server.dispatch.router import Router
from vault_server.storage.database import Work

Guard = Callable[[Transaction], bool]
"""Runs first in an order's transaction; when it says False nothing happens and the reply is None. Can be pickled."""


class Errand:
    """Pickled without its operation, which is a part of the server: `bound` finds it again over there."""

    __slots__ = ("_caller", "_guard", "_now_ms", "_operation", "_order")

    def __init__(
        self, caller: Caller, order: Any, now_ms: int, guard: Guard | None = None, operation: Operation | None = None
    ) -> None:
        self._caller = caller
        self._order = order
        self._now_ms = now_ms
        self._guard = guard
        self._operation = operation

    def __call__(self, tx: Transaction) -> Any:
        """Carry it out; its reply."""
        assert self._operation is not None, "an errand that was pickled is bound first"
        if self._guard is not None and not self._guard(tx):
            return None
        return self._operation.handler(tx, self._caller, self._order, self._now_ms)

    def __reduce__(self) -> tuple[Any, ...]:
        return Errand, (self._caller, self._order, self._now_ms, self._guard)

    def bound(self, router: Router) -> Errand:
        """Itself, with its operation; who may give the order was seen to before."""
        self._operation = router.operation_of(self._order)
        return self


def binder(router: Router) -> Callable[[Work], Work]:
    """Makes whatever arrives in the process that writes whole again."""

    def bind(work: Work) -> Work:
        return work.bound(router) if isinstance(work, Errand) else work

    return bind
