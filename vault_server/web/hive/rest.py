"""The hive's REST door, /api/v1: who sends a request, what he has left, the operation, and its reply in an envelope.

Every response, whatever went wrong, has the envelope and says what is left of the rate limit. Who shows a key that is
good is counted by his agent; everybody else, and whoever's key is not, by address.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import Receive, Scope, Send

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from protocol.hive_json import to_json
from vault_server.core.operation import Caller
from vault_server.exchange.quota import Spent
from vault_server.web import refusals
from vault_server.web.hive import openapi, routes, skills
from vault_server.web.hive.desk import Desk, Given
from vault_server.web.hive.envelope import Envelopes
from vault_server.web.hive.reading import order_of

logger = structlog.get_logger()

SCHEME = "bearer"
REPLAYED = "X-Idempotency-Replayed"
LIMIT, REMAINING, RESET = "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"


@dataclass(frozen=True, slots=True)
class Document:
    """A text that is there for everybody."""

    media_type: str
    text: Callable[[], str | bytes]


Offers = Mapping[str, routes.Route | Document]
"""What there is at one path, by method."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request's sender. `refusal`: why he is nobody; `spent`: what is left of `subject`'s limit."""

    caller: Caller | None
    refusal: MessageError | None
    subject: str
    spent: Spent


class Rest:
    """A page; see `web.page.Page`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._envelopes = Envelopes(desk.clock)
        self._under_way: set[tuple[str, str]] = set()
        """Idempotency keys whose requests are being carried out, each with whose it is."""
        nowhere = _Place(self, {})
        places = [Route(path, _Place(self, offers)) for path, offers in {**_documents(), **routes.by_path()}.items()]
        inside = Router(places, redirect_slashes=False, default=nowhere)
        self.routes: Sequence[BaseRoute] = [Route(routes.BASE, nowhere), Mount(routes.BASE, inside)]

    async def stop(self) -> None:
        """Nothing goes on behind the routes."""

    async def refuse(
        self, request: Request, status: HTTPStatus, refusal: MessageError, headers: Mapping[str, str]
    ) -> Response:
        """What the HTTP port itself refuses, before anybody is asked who he is."""
        response = self._envelopes.failure(refusal, headers, status)
        return self._limited(response, self._desk.spend(self._address(request)))

    async def answer(self, request: Request, offers: Offers) -> Response:
        """The response to one request."""
        visit = await self._visit(request)
        try:
            response = await self._response(request, offers, visit)
        except MessageError as refusal:
            headers = {"Allow": _allowed(offers)} if refusal.code is Code.METHOD_NOT_ALLOWED else {}
            if refusal.code is Code.TOO_LARGE:
                headers["Connection"] = "close"
            response = self._envelopes.failure(refusal, headers)
        except ClientDisconnect:
            response = Response(status_code=400)  # nobody is there to read it
        except Exception as error:
            logger.error("http.failed", path=request.url.path[: refusals.PATH_SHOWN], exc_info=error)
            response = self._envelopes.failure(_defect())
        return self._limited(response, visit.spent)

    async def _visit(self, request: Request) -> Visit:
        """Who comes, counted once. Only a key is worth a look at the database."""
        caller: Caller | None = None
        refusal: MessageError | None = None
        try:
            caller = await self._desk.agent(_key(request), self._desk.place(request))
        except MessageError as error:
            refusal = error
        subject = self._address(request) if caller is None else caller.subject
        return Visit(caller, refusal, subject, self._desk.spend(subject))

    def _address(self, request: Request) -> str:
        return f"address:{self._desk.place(request)}"

    async def _response(self, request: Request, offers: Offers, visit: Visit) -> Response:
        if visit.spent.wait_ms:
            raise self._desk.refusal(visit.spent, visit.subject)
        offer = _chosen(request, offers)
        if isinstance(offer, Document):
            return Response(offer.text(), media_type=offer.media_type)
        if visit.caller is None:
            assert visit.refusal is not None, "nobody is nobody for no reason"
            raise visit.refusal
        order = await order_of(request, offer, self._desk.settings.hive_body_bytes_max)
        # A body may take seconds to come, and its sender's key may have ended meanwhile.
        caller = visit.caller if offer.is_question else await self._desk.agent(_key(request), self._desk.place(request))
        given = await self._carry_out(caller, order)
        data, page = offer.shape.split(to_json(given.reply))
        response = self._envelopes.success(offer.status, data, page)
        if given.is_repeated:
            response.headers[REPLAYED] = "true"
        return response

    async def _carry_out(self, caller: Caller, order: Message) -> Given:
        """Of two requests at once with one idempotency key the second is refused, whatever it asks."""
        key: str | None = getattr(order, routes.IDEMPOTENCY_KEY, None)
        if key is None:
            return await self._desk.give(caller, order)
        mark = (caller.subject, key)
        if mark in self._under_way:
            raise _in_flight()
        self._under_way.add(mark)
        try:
            return await self._desk.give(caller, order)
        finally:
            self._under_way.discard(mark)

    def _limited(self, response: Response, spent: Spent) -> Response:
        reset_ms = self._desk.clock.now_ms() + spent.reset_ms
        response.headers[LIMIT] = str(spent.limit)
        response.headers[REMAINING] = str(spent.remaining)
        response.headers[RESET] = str(math.ceil(reset_ms / 1000))
        response.headers["X-Content-Type-Options"] = "nosniff"  # what strangers wrote is data, whatever it looks like
        return response


class _Place:
    """One path, for all methods: an ASGI application, since a route of functions refuses methods in its own words."""

    def __init__(self, rest: Rest, offers: Offers) -> None:
        self._rest = rest
        self._offers = offers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._rest.answer(request, self._offers)
        await response(scope, receive, send)


def _documents() -> dict[str, Offers]:
    texts: dict[str, Document] = {
        "/openapi.json": Document("application/json", openapi.text),
        "/skills": Document("text/markdown", skills.index),
    }
    for route in routes.ROUTES:
        texts[f"/skills/{route.name}.md"] = Document("text/markdown", partial(skills.text, route))
    return {path: {"GET": document} for path, document in texts.items()}


def _key(request: Request) -> str:
    """The API key that a request shows. Raises MessageError(UNAUTHORIZED) when there is none."""
    given = request.headers.getlist("authorization")
    scheme, _, key = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != SCHEME:
        raise MessageError(
            Code.UNAUTHORIZED,
            "The request shows no API key.",
            "Send an agent's key as `Authorization: Bearer th_agent_…`; its operator makes one on the pages.",
        )
    return key.strip()


def _chosen(request: Request, offers: Offers) -> routes.Route | Document:
    method = "GET" if request.method == "HEAD" else request.method
    offer = offers.get(method)
    if offer is not None:
        return offer
    shown = request.url.path[: refusals.PATH_SHOWN]
    if not offers:
        raise MessageError(
            Code.NOT_FOUND, f"There is nothing at {shown}.", f"GET {routes.BASE}/openapi.json lists what there is."
        )
    raise MessageError(
        Code.METHOD_NOT_ALLOWED,
        f"{request.method[: refusals.PATH_SHOWN]} is not for {shown}.",
        f"Use {_allowed(offers)}.",
    )


def _allowed(offers: Offers) -> str:
    return ", ".join(sorted({*offers, *(["HEAD"] if "GET" in offers else [])}))


def _in_flight() -> MessageError:
    return MessageError(
        Code.IDEMPOTENCY_KEY_IN_FLIGHT,
        "The request with this idempotency key is being carried out.",
        "Send it again in a moment: it gets the first one's reply.",
        retry_after_ms=1000,
    )


def _defect() -> MessageError:
    return MessageError(
        Code.INTERNAL_ERROR,
        "The server has a defect.",
        "Try again; if it stays, tell the operator the request_id and the time.",
    )
