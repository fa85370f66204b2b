"""Puzzles that cannot be taken: each is refused by its documented code, twice alike, and the server goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import gmpy2
import msgpack
import pytest

from protocol.errors import Code
from protocol.peer import PLAIN_JSON, PLAIN_MSGPACK, Frame, Subprotocol
from protocol.puzzle import make_modulus
from protocol.session import Exit, Hello
from protocol.vault import (
    CLIENT_PATH,
    SOLVER_PATH,
    AcceptAssignment,
    AskStatus,
    CancelTask,
    PuzzleAccepted,
    ReturnAssignment,
    SubmitAnswer,
    SubmitPuzzle,
    UpdateStatus,
)
from tests.acceptance.conversation import goes_on, keeps_secrets, refused, refused_message
from tests.acceptance.puzzles import Maker
from tests.dialling import dial
from tests.processes import Server

T_MAX = 2**40 + 1
SETTINGS: dict[str, object] = {"squarings_max": T_MAX, "modulus_bits_max": 1024}


@cache
def modulus(bits: int) -> int:
    """A good product of that many bits."""
    return make_modulus(bits)[0]


@cache
def prime(bits: int) -> int:
    """A prime of exactly that many bits."""
    return int(gmpy2.next_prime((1 << bits) - (1 << (bits - 2))))


def order(t: int = 10**6, baseg: int = 0x1234567890ABCDEF, product: int | None = None) -> SubmitPuzzle:
    return SubmitPuzzle(t=t, baseg=baseg, product=modulus(512) if product is None else product)


BAD: dict[str, tuple[Callable[[], SubmitPuzzle], Code]] = {
    "t = 0": (lambda: order(t=0), Code.SQUARINGS_OUT_OF_RANGE),
    "t negative": (lambda: order(t=-1), Code.SQUARINGS_OUT_OF_RANGE),
    "t very negative": (lambda: order(t=-(2**53) + 1), Code.SQUARINGS_OUT_OF_RANGE),
    "t above the limit": (lambda: order(t=T_MAX + 1), Code.SQUARINGS_OUT_OF_RANGE),
    "t far above the limit": (lambda: order(t=2**53 - 1), Code.SQUARINGS_OUT_OF_RANGE),
    "product 0": (lambda: order(product=0), Code.PRODUCT_TOO_SMALL),
    "product 1": (lambda: order(product=1), Code.PRODUCT_TOO_SMALL),
    "product a bit too small": (lambda: order(product=2**511 - 1), Code.PRODUCT_TOO_SMALL),
    "product a bit too large": (lambda: order(product=2**1024 + 1), Code.PRODUCT_TOO_LARGE),
    "product even": (lambda: order(product=2 * modulus(512)), Code.PRODUCT_EVEN),
    "product prime": (lambda: order(product=prime(512)), Code.PRODUCT_PRIME),
    "product a square": (lambda: order(product=prime(256) ** 2), Code.PRODUCT_PERFECT_POWER),
    "product a cube": (lambda: order(product=prime(172) ** 3), Code.PRODUCT_PERFECT_POWER),
    "product a power of a product": (lambda: order(product=modulus(264) ** 2), Code.PRODUCT_PERFECT_POWER),
    "product with factor 3": (lambda: order(product=3 * modulus(512)), Code.PRODUCT_SMALL_FACTOR),
    "product with factor 65521": (lambda: order(product=65521 * prime(512)), Code.PRODUCT_SMALL_FACTOR),
    "base 0": (lambda: order(baseg=0), Code.BASE_OUT_OF_RANGE),
    "base 1": (lambda: order(baseg=1), Code.BASE_OUT_OF_RANGE),
    "base N-1": (lambda: order(baseg=modulus(512) - 1), Code.BASE_OUT_OF_RANGE),
    "base N": (lambda: order(baseg=modulus(512)), Code.BASE_OUT_OF_RANGE),
    "base N+2": (lambda: order(baseg=modulus(512) + 2), Code.BASE_OUT_OF_RANGE),
    "base shares a factor": (
        lambda: order(baseg=7 * prime(260), product=prime(260) * prime(280)),
        Code.BASE_NOT_COPRIME,
    ),
}

GOOD: dict[str, Callable[[], SubmitPuzzle]] = {
    "t = 1": lambda: order(t=1),
    "t at the limit": lambda: order(t=T_MAX),
    "product of the fewest bits": lambda: order(product=modulus(512)),
    "product of the most bits": lambda: order(product=modulus(1024)),
    "product with the first factor that is not small": lambda: order(product=65537 * prime(512)),
    "base 2": lambda: order(baseg=2),
    "base N-2": lambda: order(baseg=modulus(512) - 2),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_puzzle_is_refused_by_its_code(shared_server: Server, maker: Maker, name: str) -> None:
    make, code = BAD[name]
    bad = make()
    async with await dial(shared_server.url) as client:
        first = await refused_message(client, bad, code, bad.t, bad.baseg, bad.product)
        again = await refused_message(client, bad, code, bad.t, bad.baseg, bad.product)
        assert again == first, "the verdict on a modulus that is kept says the same"
        await goes_on(client, maker)


@pytest.mark.parametrize("name", GOOD)
async def test_a_puzzle_at_the_limit_is_taken(shared_server: Server, name: str) -> None:
    async with await dial(shared_server.url) as client:
        await client.ask(GOOD[name](), PuzzleAccepted)


# frames that say something else than a message does

NUMBER = 77
FORMATS = [PLAIN_MSGPACK, PLAIN_JSON]
TASK = "0123456789abcdef0123456789abcdef"


def written(subprotocol: Subprotocol, raw: dict[str, Any]) -> Frame:
    """A frame with exactly these fields; bytes become hex in JSON, as messages have it."""
    if subprotocol.binary:
        packed: bytes = msgpack.packb(raw)
        return packed
    return json.dumps({name: v.hex() if isinstance(v, bytes) else v for name, v in raw.items()})


def puzzle_fields() -> dict[str, Any]:
    big = modulus(512)
    return {"type": "tlp", "id": NUMBER, "t": 5, "baseg": b"\x07", "product": big.to_bytes(64, "big")}


WRONG_ANYWHERE: list[Any] = [None, True, 1.5, [], {}, ["7"], {"a": 1}]
WRONG_TYPES: dict[str, list[Any]] = {
    "t": [*WRONG_ANYWHERE, "5", "", 2**53, -(2**53), 2**63],
    "baseg": [*WRONG_ANYWHERE, 7, "", "text", b"", b"\x01" * 1025],
    "product": [*WRONG_ANYWHERE, 15, "", "0x0f", b"", b"\x01" * 1025],
    "commitment": [*WRONG_ANYWHERE, 0, "no hex", b"", b"c" * 31, b"c" * 33],
    "idempotency_key": [*WRONG_ANYWHERE, 7, "", "k" * 65, "two\nlines", "\x00"],
}


@pytest.mark.parametrize("field", WRONG_TYPES)
@pytest.mark.parametrize("subprotocol", FORMATS, ids=lambda s: s.name)
async def test_a_field_of_the_wrong_type_is_refused_by_name(
    shared_server: Server, maker: Maker, subprotocol: Subprotocol, field: str
) -> None:
    async with await dial(shared_server.url, subprotocol=subprotocol) as client:
        for value in WRONG_TYPES[field]:
            frame = written(subprotocol, puzzle_fields() | {field: value})
            error = await refused(client, frame, Code.BAD_FIELD, number=NUMBER)
            assert repr(field) in error.message
            keeps_secrets(error, [modulus(512)])
        await goes_on(client, maker)


@pytest.mark.parametrize("field", ["t", "baseg", "product"])
@pytest.mark.parametrize("subprotocol", FORMATS, ids=lambda s: s.name)
async def test_a_missing_field_is_refused_by_name(
    shared_server: Server, maker: Maker, subprotocol: Subprotocol, field: str
) -> None:
    async with await dial(shared_server.url, subprotocol=subprotocol) as client:
        fields = puzzle_fields()
        del fields[field]
        error = await refused(client, written(subprotocol, fields), Code.MISSING_FIELD, number=NUMBER)
        assert repr(field) in error.message
        await goes_on(client, maker)


@pytest.mark.parametrize("subprotocol", FORMATS, ids=lambda s: s.name)
async def test_an_unknown_field_is_refused_by_name(
    shared_server: Server, maker: Maker, subprotocol: Subprotocol
) -> None:
    async with await dial(shared_server.url, subprotocol=subprotocol) as client:
        for extra in ("colour", "T", "difficulty", "x" * 60, "\u2028\u202e"):
            frame = written(subprotocol, puzzle_fields() | {extra: modulus(512).to_bytes(64, "big")})
            error = await refused(client, frame, Code.UNKNOWN_FIELD, number=NUMBER)
            assert ascii(extra)[:20] in error.message
            assert error.message.isascii(), "what a stranger wrote comes back escaped"
            keeps_secrets(error, [modulus(512)])
        await goes_on(client, maker)


@pytest.mark.parametrize("subprotocol", FORMATS, ids=lambda s: s.name)
async def test_an_unknown_or_absent_type_is_refused(
    shared_server: Server, maker: Maker, subprotocol: Subprotocol
) -> None:
    cases: list[tuple[dict[str, Any], Code]] = [
        ({"type": "tlpp"}, Code.UNSUPPORTED_TYPE),
        ({"type": ""}, Code.UNSUPPORTED_TYPE),
        ({"type": "TLP"}, Code.UNSUPPORTED_TYPE),
        ({"type": "tlp_accepted"}, Code.UNSUPPORTED_TYPE),  # only a server says it
        ({"type": "challenge"}, Code.UNSUPPORTED_TYPE),
        ({}, Code.MISSING_FIELD),
        ({"type": None}, Code.MISSING_FIELD),
        ({"type": 7}, Code.MISSING_FIELD),
        ({"type": ["tlp"]}, Code.MISSING_FIELD),
    ]
    async with await dial(shared_server.url, subprotocol=subprotocol) as client:
        for fields, code in cases:
            await refused(client, written(subprotocol, fields | {"id": NUMBER}), code, number=NUMBER)
        await goes_on(client, maker)


@pytest.mark.parametrize("subprotocol", FORMATS, ids=lambda s: s.name)
async def test_a_request_needs_a_number(shared_server: Server, maker: Maker, subprotocol: Subprotocol) -> None:
    async with await dial(shared_server.url, subprotocol=subprotocol) as client:
        await refused(client, written(subprotocol, {"type": "ping"}), Code.MISSING_FIELD, number=None)
        for wrong in (None, "1", -1, 1.0, True, 2**53, [1]):
            frame = written(subprotocol, {"type": "ping", "id": wrong})
            error = await refused(client, frame, Code.BAD_FIELD, number=None)
            assert "'id'" in error.message
        await goes_on(client, maker)


@pytest.mark.parametrize("subprotocol", FORMATS, ids=lambda s: s.name)
async def test_every_message_looks_at_its_fields(shared_server: Server, maker: Maker, subprotocol: Subprotocol) -> None:
    on_client: list[dict[str, Any]] = [
        {"type": "task_status", "task": TASK.upper()},
        {"type": "task_status", "task": TASK + "00"},
        {"type": "cancel", "task": 5},
        {"type": "ack", "push": 0},
        {"type": "ack", "push": "1"},
    ]
    on_solver: list[dict[str, Any]] = [
        {"type": "status_update", "state": "asleep", "capacity": 1, "speeds": {}},
        {"type": "status_update", "state": "ready", "capacity": 1025, "speeds": {}},
        {"type": "status_update", "state": "ready", "capacity": 1, "speeds": {"2048": -1}},
        {"type": "status_update", "state": "ready", "capacity": 1, "speeds": {"2048": 1.5}},
        {"type": "status_update", "state": "ready", "capacity": 1, "speeds": {"fast": 1}},
        {"type": "status_update", "state": "ready", "capacity": 1, "speeds": {"02048": 1}},
        {"type": "status_update", "state": "ready", "capacity": 1, "speeds": {str(n): 1 for n in range(100, 117)}},
        {"type": "accept", "assignment": 0},
        {"type": "return", "assignment": "1"},
        {"type": "progress", "assignment": 1, "done": -1},
        {"type": "tlp_response", "assignment": 1, "answer": 5},
    ]
    for path, cases in ((CLIENT_PATH, on_client), (SOLVER_PATH, on_solver)):
        async with await dial(shared_server.url, path, subprotocol=subprotocol) as peer:
            for fields in cases:
                await refused(peer, written(subprotocol, fields | {"id": NUMBER}), Code.BAD_FIELD, number=NUMBER)
            await goes_on(peer, maker)


# the right message in the wrong place


async def test_the_wrong_endpoint_is_named_with_the_right_one(shared_server: Server, maker: Maker) -> None:
    status = UpdateStatus(state="ready", capacity=1, speeds={})
    for path, other, messages in (
        (
            CLIENT_PATH,
            SOLVER_PATH,
            [
                status,
                AcceptAssignment(assignment=1),
                SubmitAnswer(assignment=1, answer=5),
                ReturnAssignment(assignment=1),
            ],
        ),
        (SOLVER_PATH, CLIENT_PATH, [order(), AskStatus(task=TASK), CancelTask(task=TASK)]),
    ):
        async with await dial(shared_server.url, path) as peer:
            for message in messages:
                error = await refused_message(peer, message, Code.WRONG_ENDPOINT, modulus(512))
                assert other in error.suggestion
            await goes_on(peer, maker)


async def test_a_second_hello_has_no_place(shared_server: Server, maker: Maker) -> None:
    async with await dial(shared_server.url) as client:
        hello = Hello(
            key=b"k" * 32, ephemeral=b"e" * 32, nonce=b"n" * 32, authority="a:1", agent="", signature=b"s" * 64
        )
        await refused(client, client.peer.signal(hello), Code.WRONG_ENDPOINT, number=None)
        await goes_on(client, maker)
        await client.signal(Exit())
        assert await client.closed() == 1000


async def test_a_task_of_somebody_else_is_as_unknown_as_none(shared_server: Server, maker: Maker) -> None:
    async with await dial(shared_server.url) as owner, await dial(shared_server.url) as stranger:
        task = (await owner.ask(order(), PuzzleAccepted)).task
        for asked in (AskStatus(task=task), CancelTask(task=task)):
            theirs = await refused_message(stranger, asked, Code.TASK_NOT_FOUND)
            none = await refused_message(stranger, type(asked)(task=TASK), Code.TASK_NOT_FOUND)
            assert theirs.message.replace(task, TASK) == none.message
        await goes_on(stranger, maker)


async def test_an_idempotency_key_with_another_request_is_refused(shared_server: Server, maker: Maker) -> None:
    async with await dial(shared_server.url) as client:
        first, _ = maker.order(base=5, key="the key")
        accepted = await client.ask(first, PuzzleAccepted)
        assert await client.ask(first, PuzzleAccepted) == accepted
        other, _ = maker.order(base=7, key="the key")
        await refused_message(client, other, Code.IDEMPOTENCY_CONFLICT, maker.modulus)
        assert await client.ask(first, PuzzleAccepted) == accepted
        await goes_on(client, maker)
