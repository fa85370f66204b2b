"""Messages for peers of other nodes: sealed, not too often, and dropped when they are not what they should be."""

from __future__ import annotations

import secrets

import pytest

from protocol.vault import TaskProgress
from vault_server.core.operation import Endpoint, Relay
from vault_server.exchange.cipher import Cipher
from vault_server.gateway.distant import DistantRelays
from vault_server.storage.postgres_hints import PAYLOAD_BYTES_MAX, PAYLOADS_MAX, payloads

KEY = b"m" * 32
TASK = "1" * 32
TOTAL = 123_456_789


class Node:
    """What it hinted at, and what it passed on."""

    def __init__(self, key: bytes = KEY) -> None:
        self.now_ms = 0.0
        self.hints: list[str] = []
        self.passed_on: list[Relay] = []
        self.relays = DistantRelays(
            Cipher(key, secrets.token_bytes), 1000, lambda: self.now_ms, self.hints.append, self.passed_on.append
        )


def progress(done: int = 1, topic: str | None = TASK) -> Relay:
    return Relay(f"key:{'c' * 32}", Endpoint.CLIENT, TaskProgress(task=TASK, done=done, total=TOTAL), topic)


@pytest.mark.parametrize("topic", [TASK, None])
def test_another_node_passes_on_what_was_sent(topic: str | None) -> None:
    near, far = Node(), Node()
    near.relays.send(progress(topic=topic))
    [hint] = near.hints
    assert " " not in hint
    far.relays.received(hint)
    assert far.passed_on == [progress(topic=topic)]


def test_nothing_of_it_can_be_read_on_the_way() -> None:
    near, stranger = Node(), Node(b"x" * 32)
    near.relays.send(progress())
    [hint] = near.hints
    assert str(TOTAL) not in hint
    stranger.relays.received(hint)
    assert stranger.passed_on == []


def test_one_topic_goes_out_no_more_often_than_it_may() -> None:
    near = Node()
    for near.now_ms in (0, 999, 1000, 1001, 2000):
        near.relays.send(progress())
    assert len(near.hints) == 3
    near.relays.send(progress(topic="other"))
    near.relays.send(progress(topic=None))
    near.relays.send(progress(topic=None))
    assert len(near.hints) == 6


def test_what_is_damaged_or_meant_for_another_is_dropped() -> None:
    near, far = Node(), Node()
    near.relays.send(progress())
    [hint] = near.hints
    for bad in (
        "relay|",
        "relay|client|key:a|t|!!!",
        hint[:-4],
        hint.replace("c" * 32, "d" * 32),
        hint.replace("|client|", "|solver|"),
        hint.replace("|client|", "|nowhere|"),
        hint + "|more",
    ):
        far.relays.received(bad)
    assert far.passed_on == []


def test_hints_are_packed_into_few_texts_and_the_short_ones_go_first() -> None:
    assert payloads(["ban", "push"]) == ["ban push "]
    long = [f"{number:04}" + "x" * 396 for number in range(1000)]
    packed = payloads([*long, "push"])
    assert packed[0].startswith("push ")
    assert len(packed) == PAYLOADS_MAX
    assert all(len(payload) <= PAYLOAD_BYTES_MAX for payload in packed)
    assert payloads(["x" * (PAYLOAD_BYTES_MAX - 1)]) == ["x" * (PAYLOAD_BYTES_MAX - 1) + " "]
    assert payloads(["x" * PAYLOAD_BYTES_MAX]) == []
