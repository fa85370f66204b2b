"""The book of addresses: each limit at its edge, what is forgotten and when, and who counts as one."""

from __future__ import annotations

from typing import Any

import pytest

from vault_server.gateway.addresses import (
    CROWDED_RETRY_MS,
    TURNED_AWAY_MAX,
    AddressBook,
    Verdict,
    Visit,
    counted_as,
    plain_address,
)
from vault_server.settings import Settings

HERE, THERE = "192.0.2.1", "192.0.2.2"
WINDOW_MS = 10_000
WELCOME, TURNED_AWAY, HUNG_UP_ON = Verdict.WELCOME, Verdict.TURNED_AWAY, Verdict.HUNG_UP_ON


def book(remembered_max: int = 100, **settings: Any) -> AddressBook:
    return AddressBook(Settings(**settings), remembered_max)


def proved(visit: Visit) -> Visit:
    visit.proved()
    return visit


def test_so_many_connections_and_one_more_until_one_leaves() -> None:
    addresses = book(connections_per_address_max=3)
    present = [proved(addresses.enter(HERE, 0)) for _ in range(3)]
    refused = addresses.enter(HERE, 0)
    assert (refused.verdict, refused.wait_ms) == (TURNED_AWAY, CROWDED_RETRY_MS)
    assert "connections_per_address_max" in refused.reason
    assert addresses.enter(THERE, 0).verdict is WELCOME
    refused.left(1)
    assert addresses.enter(HERE, 1).verdict is TURNED_AWAY, "who was turned away made no room by leaving"
    present[0].left(1)
    assert addresses.enter(HERE, 1).verdict is WELCOME
    assert addresses.enter(HERE, 1).verdict is TURNED_AWAY


def test_so_many_handshakes_and_one_more_until_one_is_done() -> None:
    addresses = book(handshakes_per_address_max=2)
    first, second = addresses.enter(HERE, 0), addresses.enter(HERE, 0)
    refused = addresses.enter(HERE, 0)
    assert (refused.verdict, refused.wait_ms) == (TURNED_AWAY, CROWDED_RETRY_MS)
    first.proved()
    first.proved()  # said again at its end
    assert addresses.enter(HERE, 0).verdict is WELCOME
    assert addresses.enter(HERE, 0).verdict is TURNED_AWAY
    second.left(0)
    assert addresses.enter(HERE, 0).verdict is WELCOME


def test_so_many_new_connections_in_the_window_and_one_more() -> None:
    addresses = book(new_connections_per_address_max=3)
    for now_ms in (0, 4_000, 9_000):
        addresses.enter(HERE, now_ms).left(now_ms)
    refused = addresses.enter(HERE, 9_500)
    assert (refused.verdict, refused.wait_ms) == (TURNED_AWAY, 500)
    refused.left(9_500)
    assert addresses.enter(HERE, 9_999).verdict is TURNED_AWAY, "who is turned away does not lengthen it"
    assert addresses.enter(HERE, 10_000).verdict is WELCOME
    assert addresses.enter(HERE, 10_000).verdict is TURNED_AWAY


def test_so_many_refused_hellos_and_nobody_more_is_heard_from_there() -> None:
    addresses = book(failed_hellos_per_address_max=2)
    first, second = addresses.enter(HERE, 0), addresses.enter(HERE, 0)
    first.failed(100)
    assert addresses.enter(HERE, 200).verdict is WELCOME
    second.failed(300)
    refused = addresses.enter(HERE, 300)
    assert (refused.verdict, refused.wait_ms) == (TURNED_AWAY, 9_800)
    assert addresses.enter(THERE, 300).verdict is WELCOME
    assert addresses.enter(HERE, 10_099).verdict is TURNED_AWAY
    assert addresses.enter(HERE, 10_100).verdict is WELCOME


def test_a_crowd_of_those_turned_away_is_hung_up_on() -> None:
    addresses = book(connections_per_address_max=1)
    addresses.enter(HERE, 0)
    turned_away = [addresses.enter(HERE, 0) for _ in range(TURNED_AWAY_MAX)]
    assert {visit.verdict for visit in turned_away} == {TURNED_AWAY}
    assert addresses.enter(HERE, 0).verdict is HUNG_UP_ON
    turned_away[0].left(0)
    assert addresses.enter(HERE, 0).verdict is HUNG_UP_ON, "the one above has not left yet"


def test_what_was_done_lately_counts_after_leaving_and_is_forgotten_after_a_window() -> None:
    addresses = book(new_connections_per_address_max=1)
    addresses.enter(HERE, 0).left(5_000)
    assert len(addresses) == 1
    refused = addresses.enter(HERE, 6_000)
    assert refused.verdict is TURNED_AWAY
    refused.left(6_000)
    addresses.enter(THERE, 15_999).left(15_999)
    assert len(addresses) == 2
    addresses.enter("192.0.2.3", 16_000).left(16_000)
    assert len(addresses) == 2, "the first has been away for a whole window"


def test_so_many_who_left_are_remembered_and_not_one_more() -> None:
    addresses = book(remembered_max=3)
    for number in range(4):
        addresses.enter(f"192.0.2.{number}", number).left(number)
    assert len(addresses) == 3
    for number in range(1000):
        addresses.enter(f"2001:db8:{number:x}::1", 10).left(10)
    assert len(addresses) == 3


def test_who_is_there_is_never_forgotten() -> None:
    addresses = book(remembered_max=1, connections_per_address_max=1)
    addresses.enter(HERE, 0)
    for number in range(10):
        addresses.enter(f"192.0.3.{number}", number).left(number)
    assert addresses.enter(HERE, 1_000_000).verdict is TURNED_AWAY


@pytest.mark.parametrize(
    ("one", "other", "bits", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", 64, True),
        ("2001:db8::1", "2001:db8:0:1::1", 64, False),
        ("2001:db8::1", "2001:db8:0:1::1", 48, True),
        ("2001:db8::1", "2001:db8::2", 128, False),
        ("192.0.2.1", "192.0.2.2", 1, False),
        ("192.0.2.1", "::ffff:192.0.2.1", 64, True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", 64, False),
        ("fe80::1%eth0", "fe80::1%eth1", 128, True),
        ("", "", 64, True),
    ],
)
def test_who_counts_as_one(one: str, other: str, bits: int, same: bool) -> None:
    assert (counted_as(one, bits) == counted_as(other, bits)) is same


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("", ""),
        ("a name", "a name"),
    ],
)
def test_an_address_is_written_in_one_way(text: str, plain: str) -> None:
    assert plain_address(text) == plain


def test_a_prefix_shares_its_limits() -> None:
    addresses = book(connections_per_address_max=2)
    assert addresses.enter("2001:db8::1", 0).verdict is WELCOME
    assert addresses.enter("2001:db8::2", 0).verdict is WELCOME
    assert addresses.enter("2001:db8::3", 0).verdict is TURNED_AWAY
    assert addresses.enter("2001:db8:0:1::1", 0).verdict is WELCOME
