"""A flood of fresh large moduli: others are served, and SIGTERM does not wait for checks that have not begun."""

from __future__ import annotations

import secrets
import time

import gmpy2

from protocol.session import Ping, Pong
from protocol.vault import PuzzleAccepted, SubmitPuzzle
from tests.conftest import StartServer
from tests.dialling import dial

PUZZLES = 400
DRAIN_MS_MAX = 300
SECONDS_MAX = 4.0
"""One thread needs several times as long for 400 moduli of 8192 bits, about 75 ms each."""


def fresh(bits: int) -> int:
    """Odd, without a small factor; nobody knows its factors."""
    small = gmpy2.primorial(2**16)
    while True:
        product = secrets.randbits(bits) | 1 | 1 << bits - 1
        if gmpy2.gcd(product, small) == 1:
            return product


async def test_checks_in_waiting_hold_up_neither_the_other_client_nor_the_end(start_server: StartServer) -> None:
    server = await start_server(
        modulus_bits_max=8192, drain_ms_max=DRAIN_MS_MAX, checks_waiting_per_key_max=PUZZLES, check_threads=1
    )
    flood, other = await dial(server.url), await dial(server.url)
    for product in [fresh(8192) for _ in range(PUZZLES)]:
        await flood.send(SubmitPuzzle(t=10**9, baseg=3, product=product))
    await other.ask(Ping(), Pong, seconds=SECONDS_MAX)
    await other.ask(SubmitPuzzle(t=10**9, baseg=3, product=fresh(2048)), PuzzleAccepted, seconds=SECONDS_MAX)
    started = time.monotonic()
    assert await server.terminate() == 0
    assert time.monotonic() - started < DRAIN_MS_MAX / 1000 + SECONDS_MAX
