"""Where a connection comes from: only proxies that the operator has named are believed, and only what they wrote."""

from __future__ import annotations

import pytest

from vault_server.gateway.proxies import Proxies

PROXIES = Proxies(["192.0.2.10", "10.0.0.0/8", "2001:db8:1::/48"])
PROXY = "192.0.2.10"


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("192.0.2.10", True),
        ("192.0.2.11", False),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("2001:db8:1:ffff::1", True),
        ("2001:db8:2::1", False),
        ("", False),
        ("no address", False),
    ],
)
def test_who_is_trusted(address: str, trusted: bool) -> None:
    assert PROXIES.trusts(address) is trusted
    assert not Proxies([]).trusts(address)


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        (["198.51.100.7"], "198.51.100.7"),
        (["203.0.113.9, 198.51.100.7"], "198.51.100.7"),  # what stands before it the peer may have written itself
        (["127.0.0.1,198.51.100.7"], "198.51.100.7"),
        (["198.51.100.7, 10.1.2.3"], "198.51.100.7"),
        (["198.51.100.7", "10.1.2.3, 192.0.2.10"], "198.51.100.7"),
        (["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        (["10.1.2.3, 10.1.2.4"], "10.1.2.3"),  # everybody on the way is a proxy of ours
        (["198.51.100.7:4711"], "198.51.100.7"),
        (["[2001:db8:2::1]:4711"], "2001:db8:2::1"),
        (["2001:DB8:2::1"], "2001:db8:2::1"),
        (["::ffff:198.51.100.7"], "198.51.100.7"),
        ([], PROXY),
        ([""], PROXY),
        (["unknown"], PROXY),
        (["198.51.100.7, unknown"], PROXY),
        (["198.51.100.7, unknown, 10.1.2.3"], "10.1.2.3"),
        (["198.51.100.7,"], PROXY),
        (["256.1.1.1"], PROXY),
        (["[2001:db8:2::1"], "2001:db8:2::1"),
    ],
)
def test_the_last_address_that_is_no_proxy(headers: list[str], origin: str) -> None:
    assert PROXIES.origin(PROXY, headers) == origin
