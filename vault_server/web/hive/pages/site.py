"""The pages as one part of the HTTP port: who comes, what his form says, and a page in every case.

A section is a list of entries; its handlers get a Visit and give a response. Whatever is refused becomes a page, too:
beside its form where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote, urlencode

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from protocol.hive import SESSION_COOKIE
from vault_server.web import refusals
from vault_server.web.hive.desk import Desk
from vault_server.web.hive.pages import advice, forms, security, static
from vault_server.web.hive.pages.entrance import Entrance, Session
from vault_server.web.hive.pages.reception import Reception
from vault_server.web.hive.pages.rendering import Renderer
from vault_server.web.hive.pages.visit import Attempt, Visit, not_found, status_of

logger = structlog.get_logger()

M = TypeVar("M", bound=Message)

Show = Callable[["Site", Visit], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One address. `back`: where a browser is sent that asks for what is only there for forms. `lets_in`: its form
    opens sessions, and is counted by where it comes from, too."""

    path: str
    get: Show | None = None
    post: Show | None = None
    back: str = ""
    needs_account: bool = False
    lets_in: bool = False


class Site:
    """A page; see `web.page.Page`.

    Its last route takes every address, so that browsers get a page for what is not there: it has to be behind all other
    routes of the port.
    """

    def __init__(self, desk: Desk, socket_port: Callable[[], int], sections: Sequence[Sequence[Entry]]) -> None:
        self.desk = desk
        self.entrance = Entrance(desk)
        self._reception = Reception(desk, socket_port)
        self._renderer = Renderer(desk.clock)
        self.page = self._renderer.page
        routes = [self._route(entry) for section in sections for entry in section]
        missing = Entry(path="/{path:path}", get=_show_missing)
        self.routes: Sequence[BaseRoute] = [*static.ROUTES, *routes, _ForBrowsers(missing.path, self._at(missing))]

    async def stop(self) -> None:
        """Nothing goes on behind these routes."""

    # what handlers ask of it

    async def ask(self, visit: Visit, question: Message, reply: type[M]) -> M:
        """Have a question answered. Raises MessageError."""
        answer = (await self.desk.give(visit.caller, question)).reply
        assert isinstance(answer, reply), f"{question.SHAPE.wire_type} is answered by {reply.SHAPE.wire_type}"
        return answer

    async def carry_out(
        self,
        visit: Visit,
        form: str,
        cls: type[Message],
        path: Mapping[str, int] | None = None,
        needed: Collection[str] = (),
    ) -> Message | None:
        """Have done what a form asks for. None: it was refused, and `visit.attempt` says why beside the form."""
        try:
            return (await self.desk.give(visit.caller, forms.order_of(cls, visit.typed, path or {}, needed))).reply
        except forms.BadForm as bad:
            self.refuse(visit, form, bad.refusal, bad.wrong)
        except MessageError as refusal:
            self.refuse(visit, form, refusal)
        return None

    def refuse(self, visit: Visit, form: str, refusal: MessageError, wrong: Mapping[str, str] | None = None) -> None:
        """Have the form shown again, with why it was refused. A key that another request has used is not kept."""
        typed = dict(forms.shown_again(visit.typed))
        if refusal.code is Code.IDEMPOTENCY_KEY_MISMATCH:
            typed.pop("idempotency_key", None)
        wrong = wrong or advice.beside_field(refusal, visit.typed or visit.request.query_params)
        told = advice.for_people(refusal)
        if wrong:
            told = MessageError(told.code, advice.not_yet_right(*wrong), advice.EACH_FIELD)
        visit.attempt = Attempt(form, typed, told, wrong)

    def go(self, path: str, done: str = "", fragment: str = "") -> Response:
        """On to another page, by GET; `done` names what it says there."""
        query = f"?{urlencode({'done': done})}" if done else ""
        return RedirectResponse(f"{path}{query}{fragment}", HTTPStatus.SEE_OTHER)

    def let_in(self, visit: Visit, session: Session, path: str, done: str = "") -> Response:
        """On to another page, with a session."""
        response = self.go(path, done)
        secure = security.is_https(self.desk.settings, visit.request)
        security.set_cookie(response, SESSION_COOKIE, session.token, session.seconds, secure=secure)
        security.drop_cookie(response, security.VISITOR_COOKIE, secure=secure)
        return response

    # the way of a request

    def _route(self, entry: Entry) -> Route:
        methods = ["GET"] if entry.post is None else ["GET", "POST"]
        return Route(entry.path, self._at(entry), methods=methods)

    def _at(self, entry: Entry) -> Callable[[Request], Awaitable[Response]]:
        return partial(self._answer, entry)

    async def _answer(self, entry: Entry, request: Request) -> Response:
        visit: Visit | None = None
        try:
            visit = await self._reception.admit(request)
            response = await self._handle(entry, visit)
        except MessageError as refusal:
            response = self._refused(request, visit, refusal)
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody is there to read it
        except Exception as error:
            logger.error("http.failed", path=request.url.path[: refusals.PATH_SHOWN], exc_info=error)
            response = self._refused(request, visit, _defect())
        return self._reception.finish(request, visit, response)

    async def _handle(self, entry: Entry, visit: Visit) -> Response:
        if visit.request.method != "POST":
            visit.canonical = _without_done(visit.request)
            return await self._show(entry, visit)
        assert entry.post is not None, "the route takes no POST otherwise"
        visit.canonical = (entry.back or entry.path).format(**visit.request.path_params)
        if entry.lets_in:
            self.entrance.check_place(visit.place)
        visit.typed = await self._reception.form(visit)
        if entry.needs_account and visit.account is None:
            raise MessageError(Code.UNAUTHORIZED, advice.NOT_LOGGED_IN, "Log in, and send the form again.")
        self._reception.check_token(visit)
        response = await entry.post(self, visit)
        if visit.attempt is not None:
            _say_when(response, visit.attempt.refusal)
        return response

    async def _show(self, entry: Entry, visit: Visit) -> Response:
        if entry.get is None:
            return self.go(entry.back.format(**visit.request.path_params))
        if entry.needs_account and visit.account is None:
            url = visit.request.url
            wanted = url.path + (f"?{url.query}" if url.query else "")
            return self.go(f"/login?next={quote(security.safe_next(wanted), safe='')}")
        return await entry.get(self, visit)

    def _refused(self, request: Request, visit: Visit | None, refusal: MessageError) -> Response:
        visit = visit or self._reception.stranger(request)
        visit.canonical = ""
        typed = forms.shown_again(visit.typed) if refusal.code in (Code.UNAUTHORIZED, Code.FORBIDDEN) else {}
        kept = {name: values for name, values in typed.items() if name != "idempotency_key" and any(values)}
        told = advice.for_people(refusal)
        response = self.page(visit, "error.html", status_of(refusal), refusal=told, kept=kept)
        _say_when(response, refusal)
        return response


class _ForBrowsers(Route):
    """An address that nobody else has: whoever reads HTML gets a page that says so, all others what they got before."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Only a browser that looks."""
        is_looking = scope["type"] == "http" and scope["method"] == "GET"
        if is_looking and "text/html" in Headers(scope=scope).get("accept", ""):
            return super().matches(scope)
        return Match.NONE, {}


async def _show_missing(_site: Site, visit: Visit) -> Response:
    raise not_found(visit.request)


def _say_when(response: Response, refusal: MessageError) -> None:
    """When to come again."""
    if refusal.retry_after_ms is not None:
        response.headers["Retry-After"] = str(math.ceil(refusal.retry_after_ms / 1000))


def _without_done(request: Request) -> str:
    """A page's address, without what was done just before."""
    query = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "done"])
    return f"{request.url.path}?{query}" if query else request.url.path


def _defect() -> MessageError:
    return MessageError(
        Code.INTERNAL_ERROR, "The server has a defect.", "Try again; if it stays, tell the operator the time."
    )
