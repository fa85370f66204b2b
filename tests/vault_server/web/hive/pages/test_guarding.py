"""What keeps visitors safe: headers, tokens, origins, escaping, limits; and that a double click does a thing once."""

from __future__ import annotations

from typing import Any

from tests.processes import Server
from tests.vault_server.web.hive.pages.visitor import AGENT, PASSWORD, TASK, Page, Visitor

SETTINGS = {
    "hive_requests_max": 10_000,
    "hive_body_bytes_max": 4096,
    "hive_origins": "https://hive.example",
}

XSS = "\"'><script src=//evil.example></script><img src=x onerror=alert(1)>{{777777*7}}"
PUBLIC = ["/", "/tasks", "/login", "/register"]
PRIVATE = [
    "/dashboard",
    "/dashboard/tasks",
    "/dashboard/tasks/new",
    "/dashboard/ledger",
    "/dashboard/agents",
    "/dashboard/account",
]
PARTS = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def policy(page: Page) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in page.headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in parts}


def holds_nothing_foreign(page: Page) -> None:
    """No script, style or image but our own files, nothing inline, no link that tells where somebody came from."""
    for tag, held in page.tags:
        assert not [name for name in held if name.startswith("on") or name == "style"], (tag, held)
        if tag == "script":
            assert held["src"].startswith("/static/")
        assert tag not in ("img", "iframe", "object", "style", "base", "embed"), tag
        if tag == "a" and "//" in held.get("href", ""):
            assert {"nofollow", "noopener"} <= set(held["rel"].split())
    assert "<script>" not in page.html
    assert "evil.example></script>" not in page.html
    assert "5444439" not in page.text, "a template has computed what somebody wrote"


async def test_every_page_carries_its_guards(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        for path in PUBLIC:
            carries_its_guards(await ann.get(path), "")
        await ann.register()
        for path in (*PRIVATE, "/", "/tasks", "/nowhere", "/tasks/999", "/tasks/x", "/agents/999", "/admin/disputes"):
            carries_its_guards(await ann.get(path), f" ws://127.0.0.1:{shared_server.port}")


def carries_its_guards(page: Page, socket: str) -> None:
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "same-origin"
    found = policy(page)
    assert found.pop("connect-src") == f"'self'{socket}", page.path
    assert found == PARTS
    holds_nothing_foreign(page)


REFUSED = {
    404: ["/nowhere", "/tasks/999", "/tasks/0", "/tasks/x", "/tasks/1e3", "/tasks/²", "/tasks/" + "9" * 5000,
          "/agents/999", "/agents/0", "/static/nothing.css", "/static/../site.py"],
    403: ["/admin/disputes"],
    400: ["/tasks?min_budget=x", "/tasks?cursor=x", "/tasks?min_budget=2&max_budget=1", "/tasks?q=a",
          "/dashboard/ledger?cursor=x", "/dashboard/tasks?status=x", "/dashboard/agents?cursor=x"],
}  # fmt: skip


async def test_what_is_not_there_is_a_page_that_says_so(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        for status, paths in REFUSED.items():
            for path in paths:
                page = await ann.get(path)
                assert page.status == status, path
                assert '<div class="refused" role="alert"' in page.html
                assert "<nav" in page.html


async def test_whoever_wants_no_html_gets_json(shared_server: Server) -> None:
    async with Visitor(shared_server, {"Accept": "application/json"}) as robot:
        page = await robot.get("/nowhere")
        assert (page.status, page.headers["content-type"]) == (404, "application/json")


async def test_private_pages_lead_to_the_login(shared_server: Server) -> None:
    async with Visitor(shared_server) as nobody:
        for path in PRIVATE:
            page = await nobody.get(path, follow_redirects=False)
            assert page.status == 303
            assert page.headers["location"].startswith("/login?next=%2Fdashboard")
        for path in PUBLIC:
            assert (await nobody.get(path)).status == 200


async def test_a_form_needs_its_token(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann, Visitor(shared_server) as eve:
        await ann.register()
        await eve.register()
        page = await ann.get("/dashboard/tasks/new")
        hers = (await eve.get("/dashboard/tasks/new")).forms["post-task"].values["form_token"]
        good = {**page.forms["post-task"].values, **TASK}
        for token in (None, "", "x", hers, good["form_token"].upper(), [good["form_token"]] * 2):
            values = {**good, "form_token": token} if token is not None else TASK
            answer = await ann.post("/dashboard/tasks/new", values)
            assert answer.status == 403
            assert "made for another session" in answer.text
            assert TASK["title"] in answer.html  # what was typed is not lost
        assert (await ann.get("/dashboard/tasks")).text.count("Sort these numbers") == 0
        assert (await ann.post("/dashboard/tasks/new", good)).path.endswith("?done=posted")


async def test_login_and_registration_need_a_token_too(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        await ann.fill("/dashboard", "logout")
        ann.http.cookies.clear()
        page = await ann.get("/login")
        values = {**page.forms["login"].values, "email": ann.email, "password": PASSWORD}
        ann.http.cookies.clear()  # another browser: the token was not made for it
        assert (await ann.post("/login", values)).status == 403
        assert PASSWORD not in (await ann.post("/login", values)).html


async def test_a_form_that_comes_from_elsewhere_is_refused(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        page = await ann.get("/dashboard/tasks/new")
        values = {**page.forms["post-task"].values, **TASK}
        near = ["http://127.0.0.1:1", "http://127.0.0.1", f"http://localhost:{shared_server.http_port}", "null", ""]
        for origin in (*near, "https://evil.example", "file://", f"https://127.0.0.1:{shared_server.http_port}"):
            answer = await ann.post("/dashboard/tasks/new", values, headers={"Origin": origin})
            assert answer.status == 403, origin
            assert "VAULT_HIVE_ORIGINS" in answer.text


async def test_a_name_that_the_operator_did_not_give_takes_no_forms(shared_server: Server) -> None:
    """Otherwise a foreign name that leads to this address could send forms with its own origin."""
    async with Visitor(shared_server) as ann:
        await ann.register()
        page = await ann.get("/dashboard/tasks/new")
        values = {**page.forms["post-task"].values, **TASK}
        host = f"evil.example:{shared_server.http_port}"
        cookie = f"hive_session={ann.http.cookies['hive_session']}"
        headers = {"Host": host, "Origin": f"http://{host}", "Cookie": cookie}
        assert (await ann.post("/dashboard/tasks/new", values, headers=headers)).status == 403


async def test_without_an_origin_the_referrer_says_it(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        page = await ann.get("/dashboard/tasks/new")
        values = {**page.forms["post-task"].values, **TASK}
        del ann.http.headers["Origin"]
        assert (await ann.post("/dashboard/tasks/new", values)).status == 403
        evil = {"Referer": "https://evil.example/"}
        assert (await ann.post("/dashboard/tasks/new", values, headers=evil)).status == 403
        ours = {"Referer": f"{ann.origin}/dashboard/tasks/new"}
        assert (await ann.post("/dashboard/tasks/new", values, headers=ours)).path.endswith("?done=posted")


async def test_behind_https_cookies_are_secure(shared_server: Server) -> None:
    headers = {"Host": "hive.example", "Origin": "https://hive.example"}
    async with Visitor(shared_server, headers) as ann:
        page = await ann.get("/register")
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        [visitor] = page.headers.get_list("set-cookie")
        assert "Secure" in visitor
        cookie = visitor.partition(";")[0]
        values = {**page.forms["register"].values, "name": "A", "email": ann.email, "password": PASSWORD}
        page = await ann.post("/register", values, headers={"Cookie": cookie}, follow_redirects=False)
        [session] = [each for each in page.headers.get_list("set-cookie") if each.startswith("hive_session")]
        assert page.status == 303
        assert "Secure" in session
        page = await ann.get("/dashboard", headers={"Cookie": session.partition(";")[0]})
        assert page.status == 200
        assert policy(page)["connect-src"] == "'self'"  # no open socket on a protected page
        assert not [tag for tag, _ in page.tags if tag == "script"]


async def test_a_host_adds_nothing_to_the_policy(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        cookie = f"hive_session={ann.http.cookies['hive_session']}"
        for host in ("127.0.0.1; script-src *", "a b", "[::1]:1", "x" * 300, "127.0.0.1,evil.example"):
            page = await ann.get("/dashboard", headers={"Host": host, "Cookie": cookie})
            assert policy(page) == {**PARTS, "connect-src": "'self'"}


async def test_a_form_has_its_fields_and_no_others(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        for name, value in (("status", "completed"), ("poster_id", "1"), ("credit_balance", "9"), ("x", "")):
            page = await ann.fill("/dashboard/tasks/new", "post-task", **{**TASK, name: value})
            assert page.status == 422
            assert f"There is no field '{name}'." in page.text
        page = await ann.fill("/dashboard/account", "account", name="A", role="admin")
        assert (page.status, "There is no field 'role'." in page.text) == (422, True)
        page = await ann.fill("/dashboard/tasks/new", "post-task", **{**TASK, "title": ["one title", "another title"]})
        assert (page.status, page.wrong("post-task")) == (422, ["title"])


async def test_a_form_s_bytes_at_their_limit(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        page = await ann.get("/dashboard/account")
        values = {**page.forms["account"].values, "name": "A", "bio": ""}

        def body(length: int) -> str:
            start = "&".join(f"{name}={value}" for name, value in values.items() if name != "bio") + "&bio="
            return start + "b" * (length - len(start))

        sent: dict[str, Any] = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}}
        at_limit = await ann.http.post("/dashboard/account", content=body(4096), **sent)
        assert at_limit.status_code == 422  # read, and the bio is too long
        assert "Not yet right: about you." in at_limit.text
        over = await ann.http.post("/dashboard/account", content=body(4097), **sent)
        assert over.status_code == 413
        assert "more than 4096 bytes" in over.text


NO_FORMS = [
    ("application/json", "{}"), ("multipart/form-data; boundary=x", "--x--"), ("", "a=b"),
    ("application/x-www-form-urlencoded", "name=%ff"), ("application/x-www-form-urlencoded", "é=1"),
    ("application/x-www-form-urlencoded", "a=1&" * 101),
]  # fmt: skip


async def test_what_is_no_form_is_refused(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        for kind, content in NO_FORMS:
            sent = {"Content-Type": kind}
            answer = await ann.http.post("/dashboard/account", content=content.encode(), headers=sent)
            assert answer.status_code == 422
            assert "text/html" in answer.headers["content-type"]


async def test_a_double_click_does_it_once(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        page = await ann.get("/dashboard/tasks/new")
        first = await ann.send(page, "post-task", **TASK)
        second = await ann.send(page, "post-task", **TASK)
        assert first.path == second.path
        changed = await ann.send(page, "post-task", **{**TASK, "title": "Another title"})
        assert changed.status == 422
        assert "used with another request" in changed.text
        assert changed.forms["post-task"].values["title"] == "Another title"
        assert (await ann.send(changed, "post-task")).path != first.path
        page = await ann.get("/dashboard/agents")
        keys = {(await ann.send(page, "register-agent", **AGENT)).html.partition('id="api-key"')[2][:99] for _ in "12"}
        assert len(keys) == 1
        assert "th_agent_" in keys.pop()
        assert "600" in (await ann.get("/dashboard/ledger")).text


async def test_a_session_that_has_ended_keeps_what_was_typed(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register(password="some long secret")
        page = await ann.get("/dashboard/tasks/new")
        await ann.fill("/dashboard", "logout")
        answer = await ann.send(page, "post-task", **TASK)
        assert answer.status == 401
        assert "You are not logged in any more." in answer.text
        assert TASK["description"] in answer.html


async def test_what_others_wrote_is_never_markup(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann, Visitor(shared_server) as bob:
        await ann.register(name=XSS)
        await bob.register(name=XSS)
        robot = await bob.agent(name=XSS, description=XSS, capabilities=XSS.replace(",", " ")[:50])
        wanted = {"title": XSS, "description": XSS * 2, "requirements": XSS, "category_id": "1"}
        task = await ann.task(**wanted)
        claim = await robot.claim(task, XSS)
        pages = [await ann.get(path) for path in (f"/tasks/{task}", "/dashboard", "/tasks", "/", "/tasks?q=script")]
        await ann.fill(f"/tasks/{task}", f"accept-claim-{claim}")
        work = await robot.deliver(task, XSS)
        page = await ann.fill(f"/tasks/{task}", f"revision-{work}", revision_notes=XSS)
        work = await robot.deliver(task, XSS + "\n" + XSS)
        pages += [page, await ann.fill(f"/tasks/{task}", f"accept-work-{work}")]
        pages.append(await ann.fill(f"/tasks/{task}", "review-form", rating="5", comment=XSS))
        pages += [await bob.get(path) for path in ("/dashboard", "/dashboard/agents", f"/agents/{robot.id}")]
        pages += [await bob.get("/dashboard/ledger"), await bob.get(f"/tasks/{task}")]
        page = await ann.fill("/dashboard/account", "account", name=XSS, bio=XSS, avatar_url="https://a.example/'x")
        pages += [page, await ann.get("/tasks", params={"q": XSS, "status": XSS, "cursor": XSS})]
        pages += [await ann.get("/dashboard/tasks", params={"status": XSS}), await ann.get("/" + XSS)]
        page = await ann.fill("/dashboard/tasks/new", "post-task", **{**wanted, "budget_credits": XSS})
        pages += [page, await ann.get("/login", params={"next": XSS, "done": XSS})]
        for each in pages:
            holds_nothing_foreign(each)
        assert "onerror=alert(1)" in pages[0].text  # shown, as text


async def test_links_in_prose_are_live_and_lead_out_without_a_word(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        wanted = 'Look (https://a.example/b?c=1&d="2"). Not javascript:alert(1), nor ftp://a.example.\nHTTPS is fine.'
        page = await ann.get(f"/tasks/{await ann.task(description=wanted)}")
        links = [held for tag, held in page.tags if tag == "a" and "a.example" in held["href"]]
        assert [each["href"] for each in links] == ["https://a.example/b?c=1&d="]
        assert set(links[0]["rel"].split()) == {"nofollow", "noopener", "noreferrer", "ugc"}


async def test_a_picture_is_linked_and_never_loaded(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        await ann.register()
        page = await ann.fill("/dashboard/account", "account", avatar_url="https://a.example/me.png")
        assert page.path == "/dashboard/account?done=saved"
        assert not [tag for tag, _ in page.tags if tag == "img"]
        assert 'rel="nofollow noopener noreferrer">Your picture' in page.html
        page = await ann.send(page, "account", avatar_url="")
        assert "Your picture" not in page.text


async def test_the_pages_own_files(shared_server: Server) -> None:
    async with Visitor(shared_server) as ann:
        page = await ann.register()
        addresses = [held.get("src") or held.get("href", "") for _, held in page.tags]
        files = [address for address in addresses if address.startswith("/static/")]
        assert len(files) == 3
        for address in files:
            answer = await ann.http.get(address)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert "set-cookie" not in answer.headers
            stale = await ann.http.get(address.partition("?")[0], params={"v": "0"})
            assert stale.headers["cache-control"] == "public, max-age=60"
        icon = await ann.http.get("/favicon.ico")
        assert (icon.status_code, icon.headers["content-type"].partition(";")[0]) == (200, "image/svg+xml")
        assert (await ann.get("/static/../site.py")).status == 404
        assert (await ann.get("/static/base.html")).status == 404
