"""Templates to responses. Every value is escaped unless it is markup that was made here of escaped parts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from protocol.hive_fields import instant_text
from vault_server.clock import Clock
from vault_server.web.hive.pages import advice, static, words
from vault_server.web.hive.pages.forms import attributes
from vault_server.web.hive.pages.visit import Visit

TEMPLATES = Path(__file__).parent / "templates"
FORM_KEY_BYTES = 16

_LINK = re.compile(r"https?://[A-Za-z0-9\[][^\s<>\"'`]*")
_BEHIND_A_LINK = ".,;:!?)]}"


def prose(text: str) -> Markup:
    """What somebody wrote: escaped, its https links live, and told to lead nowhere that we stand for."""
    parts, end = [], 0
    for found in _LINK.finditer(text):
        url = found[0].rstrip(_BEHIND_A_LINK)
        parts.append(escape(text[end : found.start()]))
        parts.append(Markup('<a href="{0}" rel="nofollow noopener noreferrer ugc">{0}</a>').format(url))
        end = found.start() + len(url)
    parts.append(escape(text[end:]))
    return Markup("").join(parts)


def when(ms: int) -> Markup:
    """A moment, in UTC."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    shown = Markup("<span>{}</span> <span>{} UTC</span>").format(f"{moment:%Y-%m-%d}", f"{moment:%H:%M}")
    return Markup('<time datetime="{}">{}</time>').format(instant_text(ms), shown)


def number(value: int) -> str:
    """With thin groups of three digits."""
    return f"{value:,}".replace(",", "\u202f")


class Renderer:
    """One for all pages."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(prose=prose, when=when, number=number)
        self._environment.globals.update(
            static=static.url,
            attributes=attributes,
            words=words,
            label=advice.label,
            new_key=self._new_key,
        )

    def page(self, visit: Visit, template: str, status: HTTPStatus | None = None, **values: Any) -> HTMLResponse:
        """A page; its status is that of the form that was tried, unless said otherwise."""
        tried = visit.attempt
        chosen = status or (tried.status if tried is not None else HTTPStatus.OK)
        now_ms = self._clock.now_ms()
        html = self._environment.get_template(template).render(
            visit=visit, account=visit.account, tried=tried, now_ms=now_ms, **values
        )
        return HTMLResponse(html, chosen)

    def _new_key(self) -> str:
        """So that a form that is sent twice is carried out once."""
        return self._clock.random_bytes(FORM_KEY_BYTES).hex()
