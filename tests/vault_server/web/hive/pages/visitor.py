"""A browser without JavaScript: reads forms out of pages, fills them in and sends them, keeps cookies."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from html import unescape
from html.parser import HTMLParser
from typing import Any, Self

import httpx

from tests.processes import Server

PASSWORD = "a long password"
TASK: dict[str, Any] = {
    "title": "Sort these numbers",
    "description": "There are twelve numbers, to be sorted.",
    "budget_credits": "200",
}
AGENT: dict[str, Any] = {"name": "robot", "description": "It sorts things."}

_places = itertools.count(2)


class _Reader(HTMLParser):
    """Everything of a page that tests look at."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: dict[str, Form] = {}
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._form: Form | None = None
        self._area: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        self.tags.append((tag, held))
        if tag == "form":
            self._form = Form(held.get("id", ""), held.get("method", "get"), held.get("action", ""))
            self.forms[self._form.id] = self._form
        elif self._form is not None and "name" in held:
            self._control(tag, held)
        elif self._form is not None and tag == "option" and "selected" in held:
            self._form.values[self._form.select] = held["value"]

    def _control(self, tag: str, held: dict[str, str]) -> None:
        assert self._form is not None
        name = held["name"]
        if tag == "select":
            self._form.select = name
        elif tag == "textarea":
            self._area = name
            self._form.values[name] = ""
        elif held.get("type") not in ("checkbox", "radio") or "checked" in held:
            self._form.values[name] = held.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._area is not None and self._form is not None:
            self._form.values[self._area] += data.removeprefix("\n") if not self._form.values[self._area] else data


class Form:
    """A form as a page has it."""

    def __init__(self, name: str, method: str, action: str) -> None:
        self.id = name
        self.method = method
        self.action = action
        self.values: dict[str, Any] = {}
        self.select = ""


class Page:
    """A response and what is in it."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.status = response.status_code
        self.headers = response.headers
        self.path = response.url.raw_path.decode()
        self.html = response.text
        reader = _Reader()
        reader.feed(self.html)
        self.forms = reader.forms
        self.tags = reader.tags
        self.text = " ".join(" ".join(reader.words).split())

    def inside(self, form: str) -> str:
        """The HTML of a form."""
        return unescape(self.html.partition(f'<form id="{form}"')[2].partition("</form>")[0])

    def wrong(self, form: str) -> list[str]:
        """What is said to be wrong with single fields."""
        parts = self.inside(form).split('<span class="wrong"')[1:]
        return [part.partition('id="')[2].partition('-wrong"')[0].removeprefix(f"{form}-") for part in parts]


class Visitor:
    """Comes from an address of his own, so that nobody's requests count against him."""

    def __init__(self, server: Server, headers: Mapping[str, str] | None = None) -> None:
        number = next(_places)
        self.origin = f"http://127.0.0.1:{server.http_port}"
        self.email = f"person-{number}@example.org"
        self.http = httpx.AsyncClient(
            base_url=self.origin,
            follow_redirects=True,
            headers={"Accept": "text/html", "Origin": self.origin, **(headers or {})},
            transport=httpx.AsyncHTTPTransport(local_address=f"127.0.{number // 250}.{number % 250 + 2}", verify=False),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def get(self, path: str, **options: Any) -> Page:
        return Page(await self.http.get(path, **options))

    async def post(self, path: str, data: Mapping[str, Any], **options: Any) -> Page:
        return Page(await self.http.post(path, data=dict(data), **options))

    async def send(self, page: Page, form: str, /, _follow: bool = True, **fields: Any) -> Page:
        """Fill a form in and send it."""
        found = page.forms[form]
        values = {**found.values, **fields}
        return await self.post(found.action, values, follow_redirects=_follow)

    async def fill(self, path: str, form: str, /, **fields: Any) -> Page:
        """Open a page, fill its form in and send it."""
        return await self.send(await self.get(path), form, **fields)

    async def register(self, **fields: Any) -> Page:
        """An account of his own, and logged in."""
        wanted = {"name": "Ann", "email": self.email, "password": PASSWORD, **fields}
        page = await self.fill("/register", "register", **wanted)
        assert page.status == 200, page.text
        return page

    async def log_in(self, email: str | None = None, password: str = PASSWORD, path: str = "/login") -> Page:
        return await self.fill(path, "login", email=email or self.email, password=password)

    async def agent(self, **fields: Any) -> Agent:
        """One more agent of his."""
        page = await self.fill("/dashboard/agents", "register-agent", **{**AGENT, **fields})
        assert page.status == 200, page.text
        key = page.html.partition('id="api-key" tabindex="0">')[2][:73]
        shown = await self.get("/dashboard/agents")
        return Agent(self.origin, key, max(int(i.partition("-")[2]) for i in shown.forms if i.startswith("rotate-")))

    async def task(self, **fields: Any) -> int:
        """A task; its id."""
        page = await self.fill("/dashboard/tasks/new", "post-task", **{**TASK, **fields})
        assert page.path.endswith("?done=posted"), page.text
        return int(page.path.removesuffix("?done=posted").rpartition("/")[2])


class Agent:
    """An agent, through REST."""

    def __init__(self, origin: str, key: str, number: int) -> None:
        self.origin = origin
        self.key = key
        self.id = number

    async def post(self, path: str, **body: Any) -> int:
        """An agent's request; the id of what it made."""
        async with httpx.AsyncClient(base_url=f"{self.origin}/api/v1", verify=False) as http:
            answer = await http.post(path, json=body, headers={"Authorization": f"Bearer {self.key}"})
        assert answer.is_success, answer.text
        return int(answer.json()["data"].get("id", 0))

    async def claim(self, task: int, message: str | None = None, credits: int = 150) -> int:
        return await self.post(f"/tasks/{task}/claims", proposed_credits=credits, message=message)

    async def deliver(self, task: int, content: str = "1, 2, 3") -> int:
        return await self.post(f"/tasks/{task}/deliverables", content=content)
