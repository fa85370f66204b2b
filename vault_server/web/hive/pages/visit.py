"""One request to the pages: who makes it, what he sent, and what became of the form he tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.requests import Request

from protocol.errors import Code, MessageError
from protocol.hive import HTTP_STATUSES
from protocol.hive_records import Account
from vault_server.core.operation import Caller
from vault_server.web.hive.pages.security import form_token

Typed = Mapping[str, Sequence[str]]
"""What a form's controls held, each as often as it was there."""


@dataclass(slots=True)
class Attempt:
    """A form that was refused: shown again with what was typed, and why not. Passwords are never shown again."""

    form: str
    typed: Typed
    refusal: MessageError
    wrong: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with single fields."""
    is_told: bool = False
    """Whether the page has told it beside its form; a form that has gone meanwhile leaves that to the page's head."""

    def tell(self) -> str:
        """What the refusal says."""
        self.is_told = True
        return self.refusal.message

    @property
    def status(self) -> HTTPStatus:
        """The response's."""
        return status_of(self.refusal)

    @property
    def texts(self) -> Typed:
        """What somebody wrote, to be given back."""
        return {name: values for name, values in self.typed.items() if name != "idempotency_key" and any(values)}

    def value(self, name: str) -> str:
        """What was typed there, once."""
        return (self.typed.get(name) or [""])[0]

    def values(self, name: str) -> Sequence[str]:
        """What was ticked there."""
        return self.typed.get(name, ())


@dataclass(slots=True)
class Visit:
    """`account` is None for somebody who is not logged in."""

    request: Request
    place: str
    caller: Caller
    account: Account | None
    token: str
    """The session's cookie; empty without a session."""
    binding: str
    """The cookie that forms are bound to."""
    socket_url: str | None
    typed: Typed = field(default_factory=dict)
    attempt: Attempt | None = None
    canonical: str = ""
    """Where the page that is shown can be had by GET; empty: nowhere."""
    has_forms: bool = False
    """Whether the response holds a form, so that the browser needs the cookie that it is bound to."""

    def make_form_token(self) -> str:
        """What each form of this response carries."""
        self.has_forms = True
        return form_token(self.binding)

    @property
    def person(self) -> Account:
        """Who is logged in, where nobody else gets to."""
        assert self.account is not None, "whoever is not logged in was sent to /login"
        return self.account

    def number(self, name: str) -> int:
        """An id in the path. Raises MessageError(NOT_FOUND)."""
        text = str(self.request.path_params[name])
        if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text) > 0):
            raise not_found(self.request)
        return int(text)

    def asked(self, name: str) -> str | None:
        """A parameter of the address, None where it is absent or empty."""
        return self.request.query_params.get(name) or None


def not_found(request: Request) -> MessageError:
    """There is no such page."""
    path = request.url.path[:100]
    return MessageError(Code.NOT_FOUND, f"There is no page at {path}.", "Go on from the list of tasks.")


def status_of(refusal: MessageError) -> HTTPStatus:
    """How HTTP says a refusal."""
    return HTTPStatus(HTTP_STATUSES.get(refusal.code, HTTPStatus.INTERNAL_SERVER_ERROR))
