"""Which addresses webhooks may lead to: those of the public internet, whatever form they are written in."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_server.systems.hive.public_addresses import is_public, parse

PUBLIC = """
1.1.1.1 8.8.8.8 93.184.215.14 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0
192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0
203.0.112.255 203.0.114.0 223.255.255.255
2606:4700:4700::1111 2a00:1450:4001::200e 2000:: 3ffe::1 2001:200::1
::ffff:8.8.8.8 2002:808:808::1 64:ff9b::8.8.8.8
"""

NOT_PUBLIC = """
0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.255
168.63.129.16 169.254.0.0 169.254.169.254 169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.192 192.0.2.1
192.88.99.1 192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.1 203.0.113.255 224.0.0.0 239.255.255.255
240.0.0.0 255.255.255.255
:: ::1 ::2 ::127.0.0.1 ::8.8.8.8 100::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 4000::1 1fff::1
2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:1ff::1 2001:db8::1 3fff::1 5f00::1
::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1
2002:7f00:1::1 2002:a00:1::1 2002:c0a8:101:: 2002:a9fe:a9fe::1
64:ff9b::127.0.0.1 64:ff9b::10.1.2.3 64:ff9b::a9fe:a9fe 64:ff9b:1::1 64:ff9b:1::808:808
"""


@pytest.mark.parametrize("address", PUBLIC.split())
def test_what_everybody_can_reach(address: str) -> None:
    assert is_public(parse(address))


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_what_not_everybody_can_reach(address: str) -> None:
    assert not is_public(parse(address))


@given(st.ip_addresses())
def test_what_the_standard_library_calls_local_is_never_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    local = address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
    if local or address.is_reserved or address.is_unspecified:
        inner = getattr(address, "ipv4_mapped", None)
        if inner is None and address not in ipaddress.ip_network("64:ff9b::/96"):
            assert not is_public(address)


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:0:0", "64:ff9b::"]))
def test_an_address_inside_another_counts_as_itself(inner: ipaddress.IPv4Address, prefix: str) -> None:
    outer = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(inner))
    assert is_public(outer) == is_public(inner)
    assert is_public(ipaddress.IPv6Address((0x2002 << 112) | (int(inner) << 80) | 1)) == is_public(inner)
