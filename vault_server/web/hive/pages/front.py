"""The front door: what this is, coming in and going out."""

from __future__ import annotations

from starlette.responses import Response

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import MessageError
from protocol.hive import SESSION_COOKIE
from vault_server.web.hive.pages import forms, security
from vault_server.web.hive.pages.site import Entry, Site
from vault_server.web.hive.pages.visit import Visit

NEWEST = 5


async def show_home(site: Site, visit: Visit) -> Response:
    """What this is, and the newest open tasks."""
    newest = await site.ask(visit, wire.BrowseTasks(limit=NEWEST), reply.TaskPage)
    categories = await site.ask(visit, wire.ListCategories(), reply.CategoryList)
    return site.page(visit, "home.html", tasks=newest.tasks, categories=categories.categories)


async def show_login(site: Site, visit: Visit) -> Response:
    """The form; who is logged in already goes on."""
    if visit.account is not None and visit.attempt is None:
        return site.go(_next(visit))
    return site.page(visit, "login.html", next=_next(visit), login=wire.LogIn)


async def log_in(site: Site, visit: Visit) -> Response:
    """A session; who is logged in already goes on, and nothing of what he sent is looked at."""
    goes_on = _next(visit)
    if visit.account is not None:
        return site.go(goes_on)
    typed = {name: values for name, values in visit.typed.items() if name != "next"}
    try:
        wish = forms.order_of(wire.LogIn, typed, {})
        session = await site.entrance.log_in(wish, visit.place, visit.request.is_disconnected)
    except forms.BadForm as bad:
        site.refuse(visit, "login", bad.refusal, bad.wrong)
    except MessageError as refusal:
        site.refuse(visit, "login", refusal)
    else:
        return site.let_in(visit, session, goes_on)
    return await show_login(site, visit)


async def show_register(site: Site, visit: Visit) -> Response:
    """The form; who is logged in already goes on."""
    if visit.account is not None and visit.attempt is None:
        return site.go("/dashboard")
    return site.page(visit, "register.html", order=wire.Register)


async def register(site: Site, visit: Visit) -> Response:
    """A new account, and a session for it; who is logged in already goes on."""
    if visit.account is not None:
        return site.go("/dashboard")
    try:
        wish = forms.order_of(wire.Register, visit.typed, {})
        session = await site.entrance.register(wish, visit.place, visit.request.is_disconnected)
    except forms.BadForm as bad:
        site.refuse(visit, "register", bad.refusal, bad.wrong)
    except MessageError as refusal:
        site.refuse(visit, "register", refusal)
    else:
        return site.let_in(visit, session, "/dashboard", "registered")
    return await show_register(site, visit)


async def log_out(site: Site, visit: Visit) -> Response:
    """The session has ended, on the server and in the browser."""
    await site.entrance.leave(visit.token)
    response = site.go("/", "logged-out")
    secure = security.is_https(site.desk.settings, visit.request)
    security.drop_cookie(response, SESSION_COOKIE, secure=secure)
    return response


def _next(visit: Visit) -> str:
    """Where somebody wanted to go when he was sent to log in."""
    wanted = visit.typed.get("next") or [visit.asked("next") or "/dashboard"]
    return security.safe_next(wanted[0])


ENTRIES = [
    Entry(path="/", get=show_home),
    Entry(path="/login", get=show_login, post=log_in, lets_in=True),
    Entry(path="/register", get=show_register, post=register, lets_in=True),
    Entry(path="/logout", post=log_out, back="/", needs_account=True),
]
