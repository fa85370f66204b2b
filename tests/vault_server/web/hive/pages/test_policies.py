"""The small functions by which pages guard themselves, on their own."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from vault_server.settings import Settings
from vault_server.web.hive.pages import security
from vault_server.web.hive.pages.rendering import prose


def request(**headers: str) -> Request:
    held = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": held})


@pytest.mark.parametrize(
    ("authority", "is_ours"),
    [("127.0.0.1:8766", True), ("localhost:1", True), ("[::1]:8766", True), ("127.9.9.9", True), ("LOCALHOST", True),
     ("localhost.evil.example", False), ("192.0.2.1", False), ("", False), ("[::1", False), ("a@localhost.x", False)],
)  # fmt: skip
def test_which_names_stay_on_this_machine(authority: str, is_ours: bool) -> None:
    assert security.is_loopback(authority) is is_ours


@pytest.mark.parametrize(
    ("settings", "host", "url"),
    [
        ({}, "127.0.0.1:8766", "ws://127.0.0.1:8765/hive"),
        ({}, "localhost", "ws://localhost:8765/hive"),
        ({}, "[::1]:8766", None),
        ({"hive_origins": "https://hive.example"}, "hive.example", None),
        (
            {"hive_origins": "https://hive.example", "hive_socket_url": "wss://hive.example/hive"},
            "hive.example",
            "wss://hive.example/hive",
        ),
        ({"hive_socket_url": "wss://other.example:1/hive"}, "x; y", "wss://other.example:1/hive"),
    ],
)
def test_where_a_browser_finds_the_socket(settings: dict[str, str], host: str, url: str | None) -> None:
    made = Settings(**settings)  # type: ignore[arg-type]
    assert security.socket_url(made, request(host=host), 8765) == url


def test_no_socket_before_it_listens() -> None:
    assert security.socket_url(Settings(), request(host="localhost"), 0) is None


def test_the_policy_names_the_socket_without_its_path() -> None:
    assert "connect-src 'self' wss://hive.example;" in security.policy("wss://hive.example/hive")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain <b>", "plain &lt;b&gt;"),
        ("https://a.example.", '<a href="https://a.example" {rel}>https://a.example</a>.'),
        ("(http://a.example/x)", '(<a href="http://a.example/x" {rel}>http://a.example/x</a>)'),
        ("https://a.example/?a=1&b", '<a href="https://a.example/?a=1&amp;b" {rel}>https://a.example/?a=1&amp;b</a>'),
        ("javascript://x data:y //z https://", "javascript://x data:y //z https://"),
    ],
)
def test_links_in_prose(text: str, html: str) -> None:
    assert str(prose(text)) == html.replace("{rel}", 'rel="nofollow noopener noreferrer ugc"')


def test_a_long_text_of_brackets_is_one_short_link() -> None:
    text = "https://a" + ")" * 50_000
    assert str(prose(text)).endswith(">https://a</a>" + ")" * 50_000)
