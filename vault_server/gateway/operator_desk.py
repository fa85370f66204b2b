"""What operators can ask and order: one JSON object in, one out. Whoever can open the control socket is the operator.

{"ask": "explain", "about": "019ab3…"}                        -> {"ok": …}
{"order": "BanKey", "fields": {"fingerprint": "77d1…", …}}    -> {"ok": …} or {"error": {code, message, suggestion}}
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import partial
from typing import Any

import orjson
import structlog

from protocol.errors import Code, MessageError
from vault_server.clock import Clock
from vault_server.core.operation import OPERATOR, Operation, Reader, Refusal, Report
from vault_server.dispatch.dispatcher import RETRY_AFTER_MS, Dispatcher
from vault_server.storage.database import Database, StorageError

logger = structlog.get_logger()

Question = Callable[[str], Awaitable[Any]]
"""question(about): what JSON can hold, or None when there is nothing by that name."""


@dataclass(frozen=True, slots=True)
class OperatorDesk:
    """`questions` are answered, `orders` are given to the dispatcher, both by name."""

    questions: Mapping[str, Question]
    orders: Mapping[str, type]
    dispatcher: Dispatcher

    async def answer(self, request: Any) -> dict[str, Any]:
        """The reply to one request, whatever it holds."""
        try:
            return {"ok": await self._do(request)}
        except MessageError as refusal:
            return refused(refusal)
        except StorageError as error:
            again = Refusal(
                Code.UNAVAILABLE, f"The storage refused: {error}.", "Try again.", retry_after_ms=RETRY_AFTER_MS
            )
            return refused(again)
        except Exception:
            logger.exception("control.failed")
            return refused(Refusal(Code.INTERNAL, "The server has a defect.", "Look at its log for control.failed."))

    async def _do(self, request: Any) -> Any:
        match request:
            case {"ask": str(name), "about": str(about)} if len(request) == 2:
                return await self._ask(name, about)
            case {"order": str(name), "fields": dict(given)} if len(request) == 2:
                return _plain(await self.dispatcher.call(OPERATOR, self._order(name, given)))
        raise Refusal(
            Code.MALFORMED, "This is no request.", 'Send {"ask", "about"}, {"order", "fields"} or {"tail"} in one line.'
        )

    async def _ask(self, name: str, about: str) -> Any:
        question = self.questions.get(name)
        if question is None:
            raise _unknown("question", name, self.questions)
        return await question(about)

    def _order(self, name: str, given: Mapping[str, Any]) -> Any:
        kind = self.orders.get(name)
        if kind is None:
            raise _unknown("order", name, self.orders)
        declared = {field.name: field for field in fields(kind)}
        for unknown in given.keys() - declared.keys():
            raise Refusal(Code.UNKNOWN_FIELD, f"{name} has no field {unknown!a}.", _fields_are(declared))
        for field in declared.values():
            if field.name not in given and field.default is MISSING and field.default_factory is MISSING:
                raise Refusal(Code.MISSING_FIELD, f"{name} needs the field '{field.name}'.", _fields_are(declared))
            if field.name in given and not _fits(given[field.name], str(field.type)):
                raise Refusal(
                    Code.BAD_FIELD, f"Field '{field.name}' of {name} is no {field.type}.", _fields_are(declared)
                )
        return kind(**given)


def refused(refusal: MessageError) -> dict[str, Any]:
    """A refusal as a reply."""
    return {"error": {"code": refusal.code, "message": refusal.message, "suggestion": refusal.suggestion}}


def orders_of(operations: Iterable[Operation]) -> dict[str, type]:
    """The orders that an operator may give, by name."""
    orders = {each.order.__name__: each.order for each in operations if OPERATOR.endpoint in each.callers}
    for name, order in orders.items():
        declared = {part for field in fields(order) for part in str(field.type).split(" | ")}
        assert declared <= {*_TYPES, "None"}, f"{name} has a field that JSON cannot carry"
    return orders


def questions_of(reports: Iterable[Report], database: Database, clock: Clock) -> dict[str, Question]:
    """Reports, read in one consistent view of the rows each."""

    async def read(about: str, *, report: Report) -> Any:
        def look(reader: Reader) -> Any:
            return report.read(reader, about, clock.now_ms())

        return await database.read(look)

    return {report.name: partial(read, report=report) for report in reports}


def parse(line: bytes) -> Any:
    """The JSON of one line, or None when it is none."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _plain(reply: Any) -> Any:
    return asdict(reply) if is_dataclass(reply) and not isinstance(reply, type) else reply


_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
}


def _fits(value: Any, declared: str) -> bool:
    """Whether a value of JSON is what an order's field is declared as, such as `int | None`."""
    for name in declared.split(" | "):
        if name == "None" and value is None:
            return True
        kind = _TYPES.get(name)
        if kind is not None and isinstance(value, kind) and (name == "bool" or not isinstance(value, bool)):
            return True
    return False


def _fields_are(declared: Mapping[str, Any]) -> str:
    return f"Its fields are {', '.join(declared)}." if declared else "It has no fields."


def _unknown(what: str, name: str, known: Iterable[str]) -> Refusal:
    return Refusal(
        Code.UNSUPPORTED_TYPE,
        f"This server knows no {what} {name[:64]!a}.",
        f"It knows {', '.join(sorted(known))}; use the vault-server of its version.",
    )
