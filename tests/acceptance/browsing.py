"""A real Chromium for tests, and what its pages say on their consoles."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SHOWN_MS_MAX = 15_000

_numbers = itertools.count(1)


def chromium() -> str:
    """Where the system's Chromium is; without one, or with VAULT_BROWSER=no, what asks is skipped, and says so."""
    if os.environ.get("VAULT_BROWSER") == "no":
        pytest.skip("NOT TESTED: VAULT_BROWSER says that no browser is to be started")
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("NOT TESTED: there is no Chromium here that the pages could be tried in (apt-get install chromium)")
    return found


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Browser]:
    """Started; its profile and its caches are in `folder`, and gone with it."""
    program = chromium()
    with pytest.MonkeyPatch.context() as changed:
        for name in ("TMPDIR", "HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
            changed.setenv(name, str(folder))
        async with async_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-dev-shm-usage"]  # as root, and in small containers
            started = await playwright.chromium.launch(executable_path=program, args=arguments)
            yield started
            await started.close()


class Tab:
    """A page of somebody's, watched: `complaints` is what went wrong in it, `loads` how often it was loaded."""

    def __init__(self, context: BrowserContext, page: Page, origin: str) -> None:
        self.context = context
        self.page = page
        self.origin = origin
        self.complaints: list[str] = []
        self.loads = 0
        page.set_default_timeout(SHOWN_MS_MAX)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", self._failed)
        page.on("load", self._loaded)

    @classmethod
    async def open(cls, started: Browser, origin: str, *, java_script_enabled: bool = True) -> Tab:
        """A browser of his own: no cookies yet."""
        context = await started.new_context(java_script_enabled=java_script_enabled)
        return cls(context, await context.new_page(), origin)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # left behind by whoever went on to the next page
            self.complaints.append(f"{request.url}: {request.failure}")

    def _loaded(self, _page: Page) -> None:
        self.loads += 1

    async def go(self, path: str) -> None:
        await self.page.goto(self.origin + path)

    async def fill(self, form: str, **fields: str) -> None:
        """Type into a form's fields."""
        for name, value in fields.items():
            await self.page.fill(f"#{form}-{name}", value)

    async def send(self, form: str) -> None:
        """Press a form's button, and wait for the page behind it."""
        async with self.page.expect_navigation():
            await self.page.click(f"#{form} button")

    async def shows(self, selector: str, text: str = "") -> None:
        """Wait until it is there to see."""
        found = self.page.locator(selector)
        await (found.filter(has_text=text) if text else found).first.wait_for()

    async def is_live(self) -> None:
        """Wait until the page hears what happens."""
        await self.shows("html[data-live=yes]")

    async def register(self, name: str, password: str = "a long password") -> None:
        await self.go("/register")
        email = f"tab-{next(_numbers)}@example.org"
        await self.fill("register", name=name, email=email, password=password)
        await self.send("register")

    async def path(self) -> str:
        """Where it is."""
        return self.page.url.removeprefix(self.origin)
