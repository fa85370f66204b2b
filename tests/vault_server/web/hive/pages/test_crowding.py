"""What one address can do to all others at the entrance, and a form whose session ends while it comes."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

from tests.processes import Server
from tests.vault_server.web.conftest import OpenLine
from tests.vault_server.web.hive.pages.visitor import PASSWORD, TASK, Page, Visitor

LIMIT = 8
SETTINGS = {"hive_requests_max": 10_000, "hive_entrances_max": LIMIT, "hive_login_failures_max": 3}


async def entered(visitor: Visitor, path: str, page: Page, **fields: str) -> Page:
    values = {**page.forms["login" if path == "/login" else "register"].values, **fields}
    return await visitor.post(path, values, follow_redirects=False)


async def test_logins_and_registrations_of_an_address_are_counted_together(shared_server: Server) -> None:
    async with Visitor(shared_server) as eve, Visitor(shared_server) as ann:
        pages = {path: await eve.get(path) for path in ("/login", "/register")}
        for number in range(LIMIT):
            path = ("/login", "/register")[number % 2]
            page = await entered(eve, path, pages[path], email=f"{number}@example.org", password="wrong", name="E")
            assert page.status in (401, 422)
        for path, shown in pages.items():
            page = await entered(eve, path, shown, email=eve.email, password=PASSWORD, name="E")
            assert page.status == 429
            assert 0 < int(page.headers["retry-after"]) <= 60
            assert f"Your address has sent {LIMIT} logins and registrations within 60 s." in page.text
        assert (await eve.get("/login")).status == 200
        assert (await ann.register()).path == "/dashboard?done=registered"


async def test_whoever_is_logged_in_is_counted_by_his_address_too(shared_server: Server) -> None:
    async with Visitor(shared_server) as eve:
        token = (await eve.register()).forms["logout"].values["form_token"]
        values = {"form_token": token, "email": "x@example.org", "name": "X", "password": PASSWORD}
        for _ in range(LIMIT - 1):
            assert (await eve.post("/register", values, follow_redirects=False)).status == 303
        assert (await eve.post("/register", values)).status == 429
        assert (await eve.post("/login", values)).status == 429
        assert (await eve.get("/dashboard")).status == 200


async def test_whoever_is_logged_in_goes_on_and_registers_nobody(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        token = (await ann.register()).forms["logout"].values["form_token"]
        session = ann.http.cookies["hive_session"]
        other = {"form_token": token, "email": f"other-{ann.email}", "password": PASSWORD}
        for path, values in (("/register", {**other, "name": "O"}), ("/login", {**other, "email": ann.email})):
            page = await ann.post(path, values, follow_redirects=False)
            assert (page.status, page.headers["location"]) == (303, "/dashboard")
        assert ann.http.cookies["hive_session"] == session
        await ann.fill("/dashboard", "logout")
        assert (await ann.log_in(f"other-{ann.email}")).status == 401


async def test_an_address_that_is_taken_waits_for_no_hashing(shared_server: Server) -> None:
    """Eight at once: those that were hashed would be more than may wait, and some would be told to come again."""
    async with Visitor(shared_server) as ann, Visitor(shared_server) as eve:
        await ann.register()
        page = await eve.get("/register")
        fields = {"email": ann.email, "name": "E", "password": "p" * 1024}
        answers = await asyncio.gather(*(entered(eve, "/register", page, **fields) for _ in range(LIMIT)))
        assert {answer.status for answer in answers} == {409}


async def test_an_address_that_sends_many_at_once_is_told_to_wait(shared_server: Server) -> None:
    async with Visitor(shared_server) as eve, Visitor(shared_server) as ann:
        page = await eve.get("/register")
        answers = await asyncio.gather(
            *(
                entered(eve, "/register", page, email=f"{number}-{eve.email}", name="E", password="p" * 1024)
                for number in range(LIMIT)
            ),
            ann.register(),
        )
        assert answers.pop().path == "/dashboard?done=registered"
        told = [answer for answer in answers if answer.status != 303]
        assert told, "one is hashed and four wait; eight came at once"
        for answer in told:
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert "Of your address 4 logins and registrations wait already." in answer.inside("register")


async def test_a_form_whose_session_ends_while_it_comes_is_not_carried_out(
    shared_server: Server, line: OpenLine
) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        page = await ann.get("/dashboard/tasks/new")
        body = urlencode({**page.forms["post-task"].values, **TASK, "title": "Sent after the end"}).encode()
        head = (
            f"POST /dashboard/tasks/new HTTP/1.1\r\nHost: 127.0.0.1:{shared_server.http_port}\r\n"
            f"Origin: {ann.origin}\r\nCookie: hive_session={ann.http.cookies['hive_session']}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
            "Expect: 100-continue\r\n\r\n"
        )
        slow = await line(shared_server.http_port)
        slow.send(head.encode())
        async with asyncio.timeout(15):  # 100 Continue: the session has been looked at, and the body is wanted
            assert (await slow.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        slow.send(body[:50])
        await ann.fill("/dashboard", "logout")
        slow.send(body[50:])
        answer = await slow.read()
        assert answer.status == 401
        assert b"You are not logged in any more." in answer.body
        assert TASK["description"].encode() in answer.body
        assert "Sent after the end" not in (await ann.get("/tasks")).text
