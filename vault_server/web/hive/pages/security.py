"""What keeps a page's visitors safe: where forms may come from, what pages may load, and the cookies.

Everything that others wrote is escaped by the templates; the policy below holds even if that were forgotten once.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from protocol.errors import Code, MessageError
from protocol.hive import HIVE_PATH
from vault_server.settings import Settings

VISITOR_COOKIE = "hive_visitor"
"""Binds the forms of somebody who is not logged in to his browser; it says nothing of him."""
VISITOR_SECONDS = 86_400
SHOWN_MAX = 100

_AUTHORITY = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?")
"""A Host that may stand in a policy. IPv6 literals have no place there: live pages need a name or hive_socket_url."""

HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: browsers would send forms with `Origin: null` then.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def policy(socket_url: str | None) -> str:
    """The Content-Security-Policy: our own files, no inline code, one socket, nobody's frame."""
    origin = "" if socket_url is None else " " + socket_url.removesuffix(HIVE_PATH)
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self'{origin}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def own_origin(settings: Settings, request: Request) -> str | None:
    """scheme://host:port of these pages as this browser sees them; None: this Host is none of the pages' names."""
    host = request.headers.get("host", "").lower()
    for origin in settings.hive_origins:
        if urlsplit(origin).netloc.lower() == host:
            return origin.lower()
    return f"http://{host}" if is_loopback(host) else None


def is_loopback(authority: str) -> bool:
    """Whether a browser that dials this name stays on its own machine."""
    try:
        host = urlsplit(f"//{authority}").hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def check_origin(settings: Settings, request: Request) -> None:
    """Whether a form was sent from one of these pages. Raises MessageError(FORBIDDEN).

    Cookies know neither ports nor, on one's own machine, sites: only the origin tells our pages from a neighbour's.
    """
    came_from = request.headers.get("origin")
    if came_from is None:
        referrer = urlsplit(request.headers.get("referer", ""))
        came_from = f"{referrer.scheme}://{referrer.netloc}"
    allowed = {origin.lower() for origin in settings.hive_origins}
    own = own_origin(settings, request)
    if came_from.lower() not in (allowed if own is None else allowed | {own}):
        raise MessageError(
            Code.FORBIDDEN,
            f"The form was not sent from one of these pages, but from {came_from[:SHOWN_MAX]!a}.",
            "Open the page here and send its form. Whoever runs the server names its pages' addresses in "
            "VAULT_HIVE_ORIGINS.",
        )


def is_https(settings: Settings, request: Request) -> bool:
    """Whether the browser speaks https with whoever is in front of this server."""
    own = own_origin(settings, request)
    if own is None:
        return any(origin.startswith("https://") for origin in settings.hive_origins)
    return own.startswith("https://")


def socket_url(settings: Settings, request: Request, port: int) -> str | None:
    """Where this browser reaches /hive; None: nowhere that its policy could name."""
    if settings.hive_socket_url is not None:
        return settings.hive_socket_url
    authority = request.headers.get("host", "")
    if not port or not _AUTHORITY.fullmatch(authority):
        return None
    speaks_tls = settings.tls_certificate is not None
    if is_https(settings, request) and not speaks_tls:
        return None  # browsers refuse an open socket on a protected page
    return f"{'wss' if speaks_tls else 'ws'}://{authority.partition(':')[0]}:{port}{HIVE_PATH}"


def form_token(binding: str) -> str:
    """What a form carries to show that it was made for this browser; `binding`: its session's or visitor's cookie."""
    return hmac.new(binding.encode(), b"a form of the hive", hashlib.sha256).hexdigest()


def fits(token: str, binding: str) -> bool:
    """Whether a form carries the token of this browser."""
    return hmac.compare_digest(token.encode(), form_token(binding).encode())


def set_cookie(response: Response, name: str, value: str, seconds: int, *, secure: bool) -> None:
    """For this host alone, out of reach for scripts, and not sent along by other sites' forms."""
    response.set_cookie(name, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="lax")


def drop_cookie(response: Response, name: str, *, secure: bool) -> None:
    """The browser forgets it."""
    response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="lax")


def safe_next(path: str) -> str:
    """Where to go on after a login: a path of these pages, whatever was asked for."""
    parts = urlsplit(path) if len(path) <= 500 and path.isprintable() and path.isascii() else None
    is_ours = parts is not None and not parts.scheme and not parts.netloc and path.startswith("/")
    return path if is_ours and not path.startswith("//") and "\\" not in path else "/dashboard"
