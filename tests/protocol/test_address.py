"""Where a server is, in the one spelling that is signed, and the pins of known servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.address import BadAddress, KnownServers, PinMismatch, canonical_authority, parse_address

KEY_A, KEY_B = b"\xaa" * 32, b"\xbb" * 32


@pytest.mark.parametrize(
    ("text", "authority", "url"),
    [
        ("localhost", "localhost:8765", "ws://localhost:8765/client"),
        ("LOCALHOST:1", "localhost:1", "ws://localhost:1/client"),
        ("ws://vault.example", "vault.example:8765", "ws://vault.example:8765/client"),
        ("ws://vault.example/", "vault.example:8765", "ws://vault.example:8765/client"),
        ("wss://Vault.Example", "vault.example:443", "wss://vault.example:443/client"),
        ("wss://vault.example:8765", "vault.example:8765", "wss://vault.example:8765/client"),
        ("127.0.0.1:65535", "127.0.0.1:65535", "ws://127.0.0.1:65535/client"),
        ("ws://[::1]:9", "[::1]:9", "ws://[::1]:9/client"),
        ("ws://[0:0::0:1]:9", "[::1]:9", "ws://[::1]:9/client"),
        ("[2001:DB8::0001]", "[2001:db8::1]:8765", "ws://[2001:db8::1]:8765/client"),
    ],
)
def test_addresses_have_one_spelling(text: str, authority: str, url: str) -> None:
    address = parse_address(text)
    assert address.authority == authority
    assert address.url("/client") == url
    again = parse_address(address.url(""))
    assert (again.authority, again.secure) == (address.authority, address.secure)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ws://",
        ":8765",
        "http://localhost",
        "localhost:65536",
        "localhost:-1",
        "localhost:x",
        "ws://localhost/client",
        "ws://localhost?x=1",
        "ws://localhost#x",
        "ws://me:secret@localhost",
        "ws://me@localhost",
        "ws://[::1",
        "ws://[nonsense]:1",
        "two words:1",
        "tab\there:1",
    ],
)
def test_what_is_no_address_is_refused_with_advice(text: str) -> None:
    with pytest.raises(BadAddress):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "ws://me:hunter2@localhost",
        "me:hunter2@localhost:8765",
        "http://me:hunter2@localhost",
        "ws://me:hunter2@localhost:x",
        "ws://me:hunter2@[::1",
        "ws://me:hunter2@two words",
        "ws://me:hun/hunter2@localhost",
        "ws://me:hunter2\u2100@localhost",
        "ws://localhost/hunter2",
        "ws://localhost?token=hunter2",
        "localhost#hunter2",
        "ftp://localhost/hunter2",
        "ws://localhost/a://hunter2",
    ],
)
def test_a_refusal_repeats_neither_a_password_nor_what_is_behind_the_host(text: str) -> None:
    with pytest.raises(BadAddress) as refused:
        parse_address(text)
    assert "hunter2" not in str(refused.value)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except BadAddress:
        return
    assert 0 <= address.port <= 65535
    assert KnownServers.parse(KnownServers.line(address.authority, KEY_A)).check(address.authority, KEY_A)


def test_canonical_authority_takes_ipv6_with_and_without_brackets() -> None:
    assert canonical_authority("::1", 5) == canonical_authority("[::1]", 5) == "[::1]:5"


# known servers


def test_the_text_form_comes_back() -> None:
    text = "\n".join(
        ["# pins", "", KnownServers.line("a:1", KEY_A), f"  {KnownServers.line('[::1]:2', KEY_B)}  ", "#a:1 0"]
    )
    pins = KnownServers.parse(text)
    assert pins.check("a:1", KEY_A)
    assert pins.check("[::1]:2", KEY_B)


def test_a_new_server_is_new_and_a_changed_one_is_refused() -> None:
    pins = KnownServers.parse(KnownServers.line("a:1", KEY_A))
    assert not pins.check("a:2", KEY_B)
    with pytest.raises(PinMismatch) as caught:
        pins.check("a:1", KEY_B)
    assert "known-servers file" in str(caught.value)
    assert KEY_B.hex()[:16] in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ["a:1", "a:1 " + "a" * 63, "a:1 " + "a" * 65, "a:1 " + "A" * 64, "a:1 " + "g" * 64, f"a:1 {'a' * 64} more"],
)
def test_a_damaged_line_is_named_by_its_number(line: str) -> None:
    with pytest.raises(BadAddress, match="line 2 "):
        KnownServers.parse(f"# first\n{line}\n")


def test_no_text_pins_nobody() -> None:
    assert not KnownServers.parse("").check("a:1", KEY_A)
    assert not KnownServers().check("a:1", KEY_A)
