"""As much of a browser as the hive's pages need: it keeps cookies, reads forms, fills them in and sends them."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Self

import httpx

SECONDS_MAX = 15.0


class Refused(Exception):
    """A page that did not do what was pressed; with what it says."""


@dataclass
class Form:
    """A form: where it goes, and what it holds before anybody types."""

    name: str
    action: str
    held: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """Forms and marked texts of one page."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__()
        self.path = path
        self.forms: list[Form] = []
        self.refused = ""
        self._texts: dict[str, str] = {}
        self._within: list[str] = []
        self._selected = ""
        self.feed(text)

    def text_of(self, name: str) -> str:
        """What stands in the element with this id. Raises Refused."""
        if name not in self._texts:
            raise Refused(f"{self.path} has nothing called {name}")
        return self._texts[name].strip()

    def form(self, beginning: str) -> Form:
        """The first form whose id begins so. Raises Refused."""
        for form in self.forms:
            if form.name.startswith(beginning):
                return form
        raise Refused(f"{self.path} has no form {beginning}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note forms, what their fields hold, and elements with an id."""
        held = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(held.get("id", ""), held.get("action", "")))
        elif tag == "select":
            self._selected = held.get("name", "")
        elif tag == "option" and self.forms and self._selected:
            if "selected" in held or self._selected not in self.forms[-1].held:
                self.forms[-1].held[self._selected] = held.get("value", "")
        elif tag == "input" and self.forms and held.get("type") not in ("checkbox", "radio", "submit"):
            self.forms[-1].held[held.get("name", "")] = held.get("value", "")
        if tag not in ("input", "meta", "link", "br", "img", "hr"):
            self._within.append(held.get("id", "") or held.get("class", ""))

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        """Leave an element."""
        if self._within:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        """Note what stands in elements with an id, and why something was refused."""
        for name in self._within:
            if name == "refused":
                self.refused += data
            elif name:
                self._texts[name] = self._texts.get(name, "") + data


class Browser:
    """One person's, on his own machine."""

    def __init__(self, origin: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=origin, headers={"Origin": origin}, follow_redirects=True, timeout=SECONDS_MAX, trust_env=False
        )

    async def look(self, path: str) -> Page:
        """A page. Raises Refused."""
        return self._page(await self._http.get(path))

    async def press(self, path: str, form: str, **typed: str) -> Page:
        """Fill a form of a page in and send it; the page that follows. Raises Refused."""
        found = (await self.look(path)).form(form)
        return self._page(await self._http.post(found.action, data=found.held | typed))

    @staticmethod
    def _page(response: httpx.Response) -> Page:
        page = Page(response.url.path, response.text)
        if response.status_code != 200 or page.refused:
            raise Refused(f"{page.path} answered {response.status_code}: {' '.join(page.refused.split())}")
        return page

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
