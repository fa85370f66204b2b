"""Which order leads where, and how a wrong door is refused."""

from __future__ import annotations

import pytest

from protocol.errors import Code
from protocol.session import Ack
from protocol.vault import SubmitPuzzle
from tests.vault_server.people import client, solver
from vault_server.core.operation import Endpoint, Operation, Refusal
from vault_server.dispatch.router import Router


def nothing(*_: object) -> None:
    return None


SUBMIT = Operation(SubmitPuzzle, frozenset({Endpoint.CLIENT}), nothing)
ACK = Operation(Ack, frozenset({Endpoint.CLIENT, Endpoint.SOLVER}), nothing)
PUZZLE = SubmitPuzzle(t=1, baseg=2, product=3)


def test_an_order_leads_to_its_operation() -> None:
    router = Router([SUBMIT, ACK])
    assert router.route(client("ann"), PUZZLE) is SUBMIT
    assert router.route(solver("a"), Ack(push=1)) is ACK


def test_a_wrong_door_is_refused_with_the_right_one() -> None:
    with pytest.raises(Refusal) as caught:
        Router([SUBMIT]).route(solver("a"), PUZZLE)
    assert caught.value.code is Code.WRONG_ENDPOINT
    assert "'tlp'" in caught.value.message
    assert "/solver" in caught.value.message
    assert "/client" in caught.value.suggestion


def test_an_order_that_nobody_takes_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        Router([]).route(client("ann"), Ack(push=1))
    assert caught.value.code is Code.WRONG_ENDPOINT
    assert "handshake" in caught.value.suggestion


def test_an_order_is_registered_once() -> None:
    with pytest.raises(AssertionError, match="SubmitPuzzle is registered twice"):
        Router([SUBMIT, SUBMIT])
