"""The HTTP port: uvicorn inside our own event loop. What goes wrong here never reaches the WebSocket side."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from http import HTTPStatus

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from protocol.address import canonical_authority
from protocol.errors import Code, MessageError
from vault_server.settings import Settings
from vault_server.web import refusals
from vault_server.web.crowd import Crowd, Owner, nobody
from vault_server.web.page import Page
from vault_server.web.patience import CROWDED, Bounds, bounded

logger = structlog.get_logger()

LIBRARY_LOGGER = logging.getLogger("uvicorn")
LIBRARY_LOGGER.addHandler(logging.NullHandler())
LIBRARY_LOGGER.propagate = (
    False  # a stranger's broken request is not an error of ours; our own are logged as http.failed
)

BACKLOG = 128
KEEP_ALIVE_SECONDS = 5
DRAIN_SECONDS = 1
TICK_SECONDS = 1.0
RETRY_AFTER_MS = 1000


Refuse = Callable[[Request, HTTPStatus, MessageError, Mapping[str, str]], Awaitable[Response]]
"""refuse(request, status, refusal, headers): a refusal in a page's own words."""


class CannotServeHttp(Exception):
    """The address is taken, or is not this machine's."""

    @classmethod
    def at(cls, host: str, port: int, error: OSError) -> CannotServeHttp:
        """What `error` says of this address, and the next step."""
        return cls(
            f"cannot serve HTTP on {host}:{port}: {error.strerror or error}; "
            "choose another --http-port or --http-host, or switch it off with --no-http"
        )


class WebServer:
    """`start` returns when requests are answered; `port` is then the one that is bound.

    `refusing`: who words what is refused before any page is asked, by the beginning of the path.
    `owner`: as whose connections are counted.
    """

    def __init__(
        self,
        settings: Settings,
        pages: Sequence[Page],
        refusing: Mapping[str, Refuse] | None = None,
        owner: Owner = nobody,
    ) -> None:
        self._settings = settings
        self._crowd = Crowd(settings.http_connections_per_address_max, owner)
        self._pages = pages
        self._refusing = refusing or {}
        self.port = 0
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it is reached from this machine."""
        return f"http://{canonical_authority(self._settings.http_host, self.port)}"

    async def start(self) -> None:
        """Raises CannotServeHttp. Nothing happens when it is switched off; `port` stays 0 then."""
        s = self._settings
        if self._server is not None or not s.http_enabled:
            return
        listening = await _bind(s.http_host, s.http_port)
        self.port = listening.getsockname()[1]
        server = self._server = _Server(self._config())
        self._serving = asyncio.create_task(server.serve([listening]), name="http")
        self._serving.add_done_callback(self._has_ended)
        ready = asyncio.create_task(server.is_ready.wait())
        await asyncio.wait([self._serving, ready], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._serving.done():
            await self._serving  # raises what kept it from starting

    async def stop(self) -> None:
        """Finish the responses that are under way, bounded in time; then end the pages."""
        server, self._server = self._server, None
        if server is None:
            return
        server.leave()
        assert self._serving is not None, "what was started serves"
        await asyncio.wait([self._serving])
        for listening in server.servers:
            listening.close()  # again, in case it did not end as it should
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        for page in self._pages:
            await page.stop()

    def _config(self) -> uvicorn.Config:
        s = self._settings
        app = Starlette(
            routes=[route for page in self._pages for route in page.routes],
            exception_handlers={HTTPException: refusals.on_http_exception, Exception: refusals.on_defect},
        )
        app.router.redirect_slashes = False
        return uvicorn.Config(
            self._bounded(app),
            http=bounded(self._bounds()),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            workers=1,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=s.http_header_bytes_max,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )

    def _bounds(self) -> Bounds:
        s = self._settings
        return Bounds(
            seconds=s.http_request_ms_max / 1000,
            connections_max=s.http_connections_max,
            head_bytes_max=s.http_header_bytes_max,
            body_bytes_max=2 * s.hive_body_bytes_max,
            crowd=self._crowd,
        )

    def _bounded(self, app: ASGIApp) -> ASGIApp:
        """Requests on too many connections, with too long a head or a stray body are refused, whatever they ask."""
        head_bytes_max = self._settings.http_header_bytes_max

        async def bounded_app(scope: Scope, receive: Receive, send: Send) -> None:
            if self._server is not None and self._server.connections > self._settings.http_connections_max:
                status, refusal = HTTPStatus.SERVICE_UNAVAILABLE, _too_many()
            elif scope["state"].get(CROWDED):
                limit = self._settings.http_connections_per_address_max
                status, refusal = HTTPStatus.SERVICE_UNAVAILABLE, _too_many_of_one(limit)
            elif _head_bytes(scope) > head_bytes_max:
                status, refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _too_long(head_bytes_max)
            elif _has_stray_body(scope):
                status, refusal = HTTPStatus.BAD_REQUEST, _no_body(scope["method"])
            else:
                await app(scope, receive, send)
                return
            response = await self._refusal(Request(scope, receive), status, refusal)
            await response(scope, receive, send)

        return bounded_app

    async def _refusal(self, request: Request, status: HTTPStatus, refusal: MessageError) -> Response:
        """The connection ends with it."""
        headers = {"Connection": "close"}
        for beginning, refuse in self._refusing.items():
            if request.url.path.startswith(beginning):
                return await refuse(request, status, refusal, headers)
        return refusals.refuse(status, refusal, headers)

    def _has_ended(self, serving: asyncio.Task[None]) -> None:
        error = None if serving.cancelled() else serving.exception()
        if error is not None or self._server is not None:
            logger.error("http.ended", exc_info=error)


class _Server(uvicorn.Server):
    """uvicorn's server that leaves signals alone, and ends when told instead of looking ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_ready = asyncio.Event()
        self._leaving = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self.server_state.connections)

    def leave(self) -> None:
        """Accept nothing more, finish, end."""
        self._leaving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command line's business."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say when it is done."""
        await super().startup(sockets)
        self.is_ready.set()

    async def main_loop(self) -> None:
        """Keep the clock of the Date header."""
        while not self._leaving.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._leaving.wait()


async def _bind(host: str, port: int) -> socket.socket:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotServeHttp.at(host, port, error) from error


def _too_many() -> MessageError:
    return MessageError(
        Code.TOO_MANY_CONNECTIONS, "All connections are taken.", "Try again later.", retry_after_ms=RETRY_AFTER_MS
    )


def _too_many_of_one(limit: int) -> MessageError:
    return MessageError(
        Code.TOO_MANY_CONNECTIONS,
        f"Your address has {limit} connections to this port.",
        "Use those again, or close one first (http_connections_per_address_max).",
        retry_after_ms=RETRY_AFTER_MS,
    )


def _head_bytes(scope: Scope) -> int:
    """The length of a request's first line and headers. uvicorn bounds them only as long as they are incomplete."""
    query = scope["query_string"]
    line = len(scope["method"]) + len(scope["raw_path"]) + len(query) + (1 if query else 0) + len("  HTTP/1.1\r\n")
    return line + sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"]) + len("\r\n")


def _has_stray_body(scope: Scope) -> bool:
    """Whether a body of unknown length comes with what has none. One of a known length is the page's to refuse."""
    return scope["method"] in ("GET", "HEAD") and any(name == b"transfer-encoding" for name, _ in scope["headers"])


def _no_body(method: str) -> MessageError:
    return MessageError(Code.MALFORMED, f"{method} takes no body.", "Leave Transfer-Encoding out.")


def _too_long(head_bytes_max: int) -> MessageError:
    return MessageError(
        Code.TOO_LARGE,
        f"The request's first line and headers have more than {head_bytes_max} bytes.",
        "Send fewer headers (http_header_bytes_max).",
    )
