"""Where a database is: a SQLite file, or a PostgreSQL database by its URL, whose password is never shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

SCHEMES = ("postgresql://", "postgres://")
SECRETS = frozenset({"password", "sslpassword", "oauth_client_secret"})
HIDDEN = "***"
EXAMPLE = "a PostgreSQL database is named by a URL like postgresql://user@host:5432/vault"

_NO_PATH = re.compile(
    r"""
      .*://                                   # a URL, perhaps of another database
    | [\s'"]*[a-z][a-z0-9+.-]+:/              # one with a slash too few
    | [\s'"]*postgres(ql)?:
    | [^\s/:@]+:[^@]*@                        # user:password@, without a scheme
    | (.*\s|['"]*)(host|hostaddr|port|dbname|user|password|passfile|service|sslmode)\s*=   # a connection string
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
"""What may hold a password, and so is never taken for a path that is shown and written to."""


class PostgresUrl:
    """A libpq URL. `str` and `repr` leave its secrets out; `secret` is all of it, for the driver alone.

    Raises ValueError, which names nothing of it, when it is no such URL.
    """

    __slots__ = ("_shown", "secret", "secrets")

    def __init__(self, text: str) -> None:
        try:
            parts = urlsplit(text)
        except ValueError:
            raise ValueError(EXAMPLE) from None  # its own words may repeat the URL
        if not text.lower().startswith(SCHEMES):
            raise ValueError(EXAMPLE)
        options = parse_qsl(parts.query, keep_blank_values=True)
        credentials, at, place = parts.netloc.rpartition("@")
        user, colon, password = credentials.partition(":")
        self.secret = f"{parts.scheme}{text[len(parts.scheme) :]}"  # the driver knows it in small letters alone
        hidden = (password, unquote(password), *(value for name, value in options if name in SECRETS))
        self.secrets = tuple(value for value in hidden if value)
        shown = [(name, HIDDEN if name in SECRETS else value) for name, value in options]
        netloc = user + (f":{HIDDEN}" if colon and password else "") + at + place
        query = urlencode(shown, safe="/*", quote_via=quote)
        self._shown = f"{parts.scheme}://{netloc}{parts.path}" + (f"?{query}" if query else "")

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"PostgresUrl({self._shown!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PostgresUrl) and other.secret == self.secret

    def __hash__(self) -> int:
        return hash(self.secret)

    def hide(self, text: str) -> str:
        """`text`, which may be a driver's or a server's message, without the URL's secrets."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(cls)


Location = Path | PostgresUrl


def location(text: str | Path | PostgresUrl) -> Location:
    """What `--database` and VAULT_DATABASE name. Raises ValueError, which names nothing of it."""
    if isinstance(text, str) and text.lower().startswith(SCHEMES):
        return PostgresUrl(text)
    if not isinstance(text, PostgresUrl) and _NO_PATH.match(str(text)):
        raise ValueError(f"this names no SQLite file; {EXAMPLE}, a file by its path")
    return text if isinstance(text, PostgresUrl) else Path(text)
