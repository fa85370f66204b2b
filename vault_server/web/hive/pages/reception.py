"""Who comes to the pages, whether he may send this form, and what every response carries."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code, MessageError
from protocol.hive import SESSION_COOKIE
from protocol.hive_records import Account
from vault_server.core.operation import Caller
from vault_server.web.hive.desk import Desk
from vault_server.web.hive.pages import forms, security
from vault_server.web.hive.pages.security import VISITOR_COOKIE, VISITOR_SECONDS
from vault_server.web.hive.pages.visit import Typed, Visit

VISITOR_BYTES = 32
VISITOR_LENGTH = 2 * VISITOR_BYTES


class Reception:
    """`socket_port` says where the WebSocket endpoints listen, once they do."""

    def __init__(self, desk: Desk, socket_port: Callable[[], int]) -> None:
        self._desk = desk
        self._settings = desk.settings
        self._socket_port = socket_port

    async def admit(self, request: Request) -> Visit:
        """Raises MessageError(RATE_LIMITED): pages count with REST and the socket."""
        place = self._desk.place(request)
        token = request.cookies.get(SESSION_COOKIE, "")
        caller = await self._person(token, place)
        subject = f"address:{place}" if caller is None else caller.subject
        spent = self._desk.spend(subject)
        if spent.wait_ms:
            raise self._desk.refusal(spent, subject)
        if caller is None:
            return self._visit(request, self._desk.visitor(place), None, "", None)
        url = security.socket_url(self._settings, request, self._socket_port())
        return self._visit(request, caller, await self._account(caller), token, url)

    def stranger(self, request: Request) -> Visit:
        """Somebody who is told why he was not admitted."""
        return self._visit(request, self._desk.visitor(self._desk.place(request)), None, "", None)

    async def form(self, visit: Visit) -> Typed:
        """What was typed. Raises MessageError(FORBIDDEN, TOO_LARGE, VALIDATION_ERROR)."""
        security.check_origin(self._settings, visit.request)
        typed = await forms.read(visit.request, self._settings.hive_body_bytes_max)
        await self._look_again(visit)
        return typed

    def check_token(self, visit: Visit) -> None:
        """Whether the form was made for this browser; its token is taken out. Raises MessageError(FORBIDDEN)."""
        tokens = visit.typed.get(forms.BINDING_FIELD, ())
        visit.typed = {name: values for name, values in visit.typed.items() if name != forms.BINDING_FIELD}
        if len(tokens) != 1 or not security.fits(tokens[0], visit.binding):
            raise MessageError(
                Code.FORBIDDEN,
                "This form was made for another session, or its page was open for too long.",
                "Go back, load the page anew and send its form.",
            )

    def finish(self, request: Request, visit: Visit | None, response: Response) -> Response:
        """What every response carries."""
        url = None if visit is None else visit.socket_url
        response.headers.update(
            {
                **security.HEADERS,
                "Content-Security-Policy": security.policy(url),
                "Cache-Control": "no-store",
                "Vary": "Cookie",
            }
        )
        secure = security.is_https(self._settings, request)
        if secure:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        if visit is None or SESSION_COOKIE in str(response.headers.getlist("set-cookie")):
            return response
        if not visit.token and SESSION_COOKIE in request.cookies:
            security.drop_cookie(response, SESSION_COOKIE, secure=secure)
        if visit.has_forms and not visit.token and request.cookies.get(VISITOR_COOKIE) != visit.binding:
            security.set_cookie(response, VISITOR_COOKIE, visit.binding, VISITOR_SECONDS, secure=secure)
        return response

    async def _person(self, token: str, place: str) -> Caller | None:
        if not token:
            return None
        try:
            return await self._desk.user(token, place)
        except MessageError as refusal:
            if refusal.code is not Code.UNAUTHORIZED:
                raise
            return None

    async def _look_again(self, visit: Visit) -> None:
        """A form may come slowly: a session that has ended meanwhile has sent none."""
        if visit.token and await self._person(visit.token, visit.place) is None:
            visit.caller, visit.account, visit.socket_url = self._desk.visitor(visit.place), None, None
            visit.token, visit.binding = "", self._binding(visit.request)

    async def _account(self, caller: Caller) -> Account:
        shown = (await self._desk.give(caller, wire.MyAccount())).reply
        assert isinstance(shown, reply.AccountShown), "MyAccount is answered so"
        return shown.account

    def _visit(self, request: Request, caller: Caller, account: Account | None, token: str, url: str | None) -> Visit:
        return Visit(request, caller.address, caller, account, token, token or self._binding(request), url)

    def _binding(self, request: Request) -> str:
        """The cookie that binds the forms of somebody without a session: his, or a new one."""
        binding = request.cookies.get(VISITOR_COOKIE, "")
        return binding if len(binding) == VISITOR_LENGTH else self._desk.clock.random_bytes(VISITOR_BYTES).hex()
