"""How often somebody may ask for pages: as often as on every other door, counted together with them."""

from __future__ import annotations

from tests.processes import Server
from tests.vault_server.web.hive.pages.visitor import Visitor

SETTINGS = {"hive_requests_max": 6}


async def test_an_address_at_its_limit(shared_server: Server) -> None:
    async with Visitor(shared_server) as nobody, Visitor(shared_server) as another:
        for _ in range(6):
            assert (await nobody.get("/tasks")).status == 200
        page = await nobody.get("/tasks")
        assert page.status == 429
        assert 0 < int(page.headers["retry-after"]) <= 60
        assert "Your address has sent 6 requests within 60 s." in page.text
        assert (await nobody.get("/login")).status == 429
        assert (await nobody.http.get("/static/hive.css")).status_code == 200
        assert (await another.get("/tasks")).status == 200


async def test_a_person_at_his_limit_wherever_he_comes_from(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann, Visitor(shared_server) as elsewhere:
        await ann.register()
        cookie = ann.http.cookies["hive_session"]
        for visitor in (ann, elsewhere):
            visitor.http.cookies.set("hive_session", cookie, domain="127.0.0.1", path="/")
        for _ in range(5):  # the first was the page behind the registration
            assert (await ann.get("/dashboard")).status == 200
        page = await elsewhere.get("/dashboard")
        assert page.status == 429
        assert "Your key or account has sent 6 requests" in page.text
