"""When somebody who goes on beyond his limit is held: by messages, by their size, and by WebSocket pings."""

from __future__ import annotations

from vault_server.gateway.excess import EXCESS_BYTES, EXCESS_MAX, FREE_PINGS_MAX, FREE_PINGS_MS, Excess


def test_every_sixteenth_small_message_beyond_the_limit_holds() -> None:
    excess = Excess()
    for _ in range(3):
        assert [excess.exceeded(EXCESS_BYTES - 1) for _ in range(EXCESS_MAX)] == [*(EXCESS_MAX - 1) * [False], True]


def test_a_large_message_counts_as_several() -> None:
    excess = Excess()
    assert not excess.exceeded((EXCESS_MAX - 2) * EXCESS_BYTES)
    assert excess.exceeded(0)
    assert excess.exceeded((EXCESS_MAX - 1) * EXCESS_BYTES)


def test_pings_at_the_limit_and_beyond_it() -> None:
    excess = Excess()
    assert not any(excess.pinged(1000) for _ in range(FREE_PINGS_MAX))
    assert [excess.pinged(1001) for _ in range(EXCESS_MAX)] == [*(EXCESS_MAX - 1) * [False], True]
    assert not excess.pinged(1000 + FREE_PINGS_MS)
