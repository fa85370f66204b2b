"""The names a server answers to: its own machine's names count only where a seal binds what was signed to the line."""

from __future__ import annotations

import pytest

from vault_server.gateway.handshake import FrontDoor
from vault_server.settings import Settings

LOOPBACK = {"127.0.0.1:8765", "localhost:8765", "[::1]:8765"}
PUBLIC = "vault.example:443"


def authorities(**values: object) -> frozenset[str]:
    return FrontDoor(Settings(public_names=(PUBLIC,), **values), [], 8765).authorities  # type: ignore[arg-type]


@pytest.mark.parametrize("plain_frames", ["loopback", "never"])
def test_loopback_names_are_good_where_others_are_sealed(plain_frames: str) -> None:
    assert authorities(plain_frames=plain_frames) == {PUBLIC, *LOOPBACK}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2", "0.0.0.0"])
def test_loopback_names_are_no_names_where_everybody_may_be_unsealed(host: str) -> None:
    assert authorities(plain_frames="always", host=host) == {PUBLIC}


def test_the_address_listened_on_stays_a_name() -> None:
    assert authorities(plain_frames="always", host="192.0.2.7") == {PUBLIC, "192.0.2.7:8765"}


def front(**values: object) -> FrontDoor:
    return FrontDoor(Settings(public_names=(PUBLIC,), **values), [], 8765, 8766)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "here", "elsewhere"),
    [
        ({}, True, False),
        ({"plain_frames": "always"}, True, True),
        ({"plain_frames": "never"}, False, False),
        ({"plain_frames": "never", "tls_certificate": "c.pem", "tls_key": "k.pem"}, True, True),
    ],
)
def test_where_credentials_may_travel(values: dict[str, object], here: bool, elsewhere: bool) -> None:
    door = front(**values)
    assert (door.may_be_unsealed("127.0.0.1"), door.may_be_unsealed("::1")) == (here, here)
    assert (door.may_be_unsealed("192.0.2.1"), door.may_be_unsealed("")) == (elsewhere, elsewhere)


def test_pages_whose_sessions_are_taken() -> None:
    own = {"http://127.0.0.1:8766", "http://localhost:8766", "http://[::1]:8766"}
    assert front().origins == own
    assert front(hive_origins=("https://Hive.example",)).origins == {*own, "https://hive.example"}
    assert FrontDoor(Settings(), [], 8765).origins == frozenset()
