"""Registering, logging in and out: what each says, which cookies come and go, and how often it may be tried."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.processes import Server
from tests.vault_server.web.hive.pages.visitor import PASSWORD, Visitor

SETTINGS = {"hive_login_failures_max": 3, "hive_requests_max": 10_000}
COOKIE = "hive_session"


async def test_who_registers_sees_500_credits(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        page = await ann.register()
        assert page.path == "/dashboard?done=registered"
        assert "500 credits" in page.text
        assert '<p class="figure" id="balance">500</p>' in page.html
        ledger = await ann.get("/dashboard/ledger")
        assert "Bonus" in ledger.text
        assert "+500" in ledger.text


async def test_the_session_s_cookie_is_out_of_reach(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        page = await ann.send(
            await ann.get("/register"), "register", _follow=False, name="A", email=ann.email, password=PASSWORD
        )
        [cookie] = [each for each in page.headers.get_list("set-cookie") if each.startswith(COOKIE)]
        assert page.status == 303
        assert {part.strip() for part in cookie.split(";")[1:]} == {
            "HttpOnly", "SameSite=lax", "Path=/", "Max-Age=1209600",
        }  # fmt: skip


async def test_each_field_says_what_it_needs_and_keeps_what_was_typed(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        page = await ann.fill("/register", "register", name="", email="no address", password="short77")
        assert page.status == 422
        assert page.wrong("register") == ["name", "email", "password"]
        assert page.forms["register"].values["email"] == "no address"
        assert page.forms["register"].values["password"] == ""
        assert "short77" not in page.html
        page = await ann.send(page, "register", name="Ann", email=ann.email, password="x" * 8)
        assert page.path == "/dashboard?done=registered"


async def test_nobody_registers_as_an_admin(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        page = await ann.fill("/register", "register", name="A", email=ann.email, password=PASSWORD, role="admin")
        assert (page.status, page.wrong("register")) == (422, ["role"])


async def test_an_address_registers_once(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann, Visitor(shared_server) as eve:
        await ann.register()
        page = await eve.fill("/register", "register", name="E", email=ann.email.upper(), password=PASSWORD)
        assert page.status == 409
        assert "Somebody is registered with this e-mail address." in page.text


async def test_a_wrong_password_and_an_unknown_address_are_told_the_same(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann, Visitor(shared_server) as eve:
        await ann.register()
        told = []
        for email in (ann.email, "nobody@example.org", "house@hive.invalid"):
            page = await eve.log_in(email, "wrong password")
            assert page.status == 401
            assert "wrong password" not in page.html
            told.append(page.inside("login").partition("</strong>")[0].partition("<strong>")[2])
        assert told == ["E-mail address and password do not fit."] * 3


async def test_logins_fail_three_times_and_then_wait_at_this_address(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann, Visitor(shared_server) as eve:
        await ann.register()
        for _ in range(3):
            assert (await eve.log_in(ann.email, "wrong password")).status == 401
        page = await eve.log_in(ann.email)
        assert page.status == 429
        assert "Too many logins have failed." in page.text
        assert 0 < int(page.headers["retry-after"]) <= 900
        assert (await eve.log_in("other@example.org", "wrong password")).status == 401
        await ann.fill("/dashboard", "logout")
        assert (await ann.log_in()).path == "/dashboard"  # nobody else locks its owner out


async def test_a_success_forgets_the_failures(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        for _ in range(2):
            await ann.fill("/dashboard", "logout")
            for _ in range(2):
                assert (await ann.log_in(password="wrong password")).status == 401
            assert (await ann.log_in()).path == "/dashboard"


async def test_a_login_has_a_new_session_whatever_cookie_there_was(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        before = ann.http.cookies[COOKIE]
        await ann.fill("/dashboard", "logout")
        for planted in (before, "f" * len(before), "x"):
            ann.http.cookies.clear()
            ann.http.cookies.set(COOKIE, planted, domain="127.0.0.1", path="/")
            assert (await ann.log_in()).path == "/dashboard"
            assert ann.http.cookies[COOKIE] not in (planted, before)


async def test_logging_out_ends_the_session_everywhere(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann, Visitor(shared_server) as other:
        await ann.register()
        other.http.cookies.set(COOKIE, ann.http.cookies[COOKIE], domain="127.0.0.1", path="/")
        page = await ann.fill("/dashboard", "logout")
        assert page.path == "/?done=logged-out"
        assert (await other.get("/dashboard")).path == "/login?next=%2Fdashboard"
        assert COOKIE not in other.http.cookies  # what has ended is dropped


async def test_a_session_ends_by_itself(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        user = (await ann.get("/dashboard/account")).text.partition("User ")[2].partition(",")[0]
        with closing(sqlite3.connect(shared_server.database)) as rows, rows:
            rows.execute("UPDATE hive_sessions SET created_at = 1, expires_at = 2 WHERE user_id = ?", (int(user),))
        assert (await ann.get("/dashboard/ledger")).path == "/login?next=%2Fdashboard%2Fledger"


async def test_what_is_private_leads_to_the_login_and_back(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        for path in ("/dashboard/tasks/new", "/dashboard/tasks?role=worker&status=open"):
            ann.http.cookies.clear()
            page = await ann.get(path)
            assert page.path.startswith("/login?next=")
            assert (await ann.send(page, "login", email=ann.email, password=PASSWORD)).path == path


ELSEWHERE = [
    "https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "",
    "/\tevil", "http:evil.example", "/dash\r\nSet-Cookie: a=b", "/" + "x" * 600, "///evil.example", "/é",
]  # fmt: skip


async def test_a_login_leads_nowhere_else(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        for elsewhere in ELSEWHERE:
            ann.http.cookies.clear()
            page = await ann.get("/login", params={"next": elsewhere})
            assert page.forms["login"].values["next"] == "/dashboard"
            values = {"email": ann.email, "password": PASSWORD, "next": elsewhere}
            page = await ann.send(page, "login", _follow=False, **values)
            assert page.headers["location"] == "/dashboard", elsewhere


async def test_who_is_logged_in_needs_no_form(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        assert (await ann.get("/login")).path == "/dashboard"
        assert (await ann.get("/register")).path == "/dashboard"


async def test_no_password_and_no_session_is_in_the_log(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register(password="correct horse battery")
        token = ann.http.cookies[COOKIE]
        await ann.fill("/dashboard", "logout")
        await ann.log_in(password="incorrect horse")
        assert shared_server.find("hive.logged_in")
        log = shared_server.log_path.read_text() + shared_server.stderr_path.read_text()
        for secret in ("correct horse", token, ann.email):
            assert secret not in log
