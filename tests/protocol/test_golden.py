"""A few frames written out by hand, so that both formats stay what they are; docs/protocol.md has more of them."""

from __future__ import annotations

import pytest

from protocol.catalog import FROM_SERVER, TO_SERVER
from protocol.codec import Codec
from protocol.envelope import Envelope
from protocol.session import Ack, Error, Ping, Pong
from protocol.vault import AnswerTaken, SubmitAnswer, SubmitPuzzle, UpdateStatus

PING = b"\x82" + b"\xa4type\xa4ping" + b"\xa2id\x01"
ACK = b"\x82" + b"\xa4type\xa3ack" + b"\xa4push\xcd\x01\x00"
PUZZLE = (
    b"\x86" + b"\xa4type\xa3tlp" + b"\xa2id\x07" + b"\xa1t\xce\x00\x01\x00\x00"
    b"\xa5baseg\xc4\x01\x02" + b"\xa7product\xc4\x02\xff\xfd" + b"\xafidempotency_key\xa1k"
)  # fmt: skip
STATUS = (
    b"\x85" + b"\xa4type\xadstatus_update" + b"\xa2id\x02" + b"\xa5state\xa5ready"
    b"\xa8capacity\x01" + b"\xa6speeds\x81\xa42048\xcd\x03\xe8"
)  # fmt: skip
ANSWER = b"\x84" + b"\xa4type\xactlp_response" + b"\xa2id\x03" + b"\xaaassignment\x05" + b"\xa6answer\xc4\x01\x00"
TAKEN = b"\x84" + b"\xa4type\xacanswer_taken" + b"\xa2re\x03" + b"\xaaassignment\x05" + b"\xa7verdict\xa5valid"

TO = [
    (Envelope(Ping(), id=1), PING, '{"type":"ping","id":1}'),
    (Envelope(Ack(push=256)), ACK, '{"type":"ack","push":256}'),
    (
        Envelope(SubmitPuzzle(t=65536, baseg=2, product=65533, idempotency_key="k"), id=7),
        PUZZLE,
        '{"type":"tlp","id":7,"t":65536,"baseg":"02","product":"fffd","idempotency_key":"k"}',
    ),
    (
        Envelope(UpdateStatus(state="ready", capacity=1, speeds={"2048": 1000}), id=2),
        STATUS,
        '{"type":"status_update","id":2,"state":"ready","capacity":1,"speeds":{"2048":1000}}',
    ),
    (
        Envelope(SubmitAnswer(assignment=5, answer=0), id=3),
        ANSWER,
        '{"type":"tlp_response","id":3,"assignment":5,"answer":"00"}',
    ),
]
FROM = [
    (
        Envelope(AnswerTaken(assignment=5, verdict="valid"), re=3),
        TAKEN,
        '{"type":"answer_taken","re":3,"assignment":5,"verdict":"valid"}',
    ),
    (
        Envelope(Pong(server_time_ms=2**40), re=1),
        b"\x83\xa4type\xa4pong\xa2re\x01\xaeserver_time_ms\xcf\x00\x00\x01\x00\x00\x00\x00\x00",
        '{"type":"pong","re":1,"server_time_ms":1099511627776}',
    ),
    (
        Envelope(Error(code="INTERNAL", message="é", suggestion="", retryable=True)),
        b"\x85\xa4type\xa5error\xa4code\xa8INTERNAL\xa7message\xa2\xc3\xa9\xaasuggestion\xa0\xa9retryable\xc3",
        '{"type":"error","code":"INTERNAL","message":"\\u00e9","suggestion":"","retryable":true}',
    ),
]
ROWS = [(TO_SERVER, *row) for row in TO] + [(FROM_SERVER, *row) for row in FROM]


@pytest.mark.parametrize(("reads", "envelope", "packed", "text"), ROWS)
def test_messages_have_exactly_these_bytes(
    reads: dict[str, type], envelope: Envelope, packed: bytes, text: str
) -> None:
    for binary, payload in ((True, packed), (False, text.encode())):
        codec = Codec(binary=binary, reads=reads, strict=True, frame_bytes_max=1000)
        assert codec.encode(envelope) == payload
        assert codec.decode(payload) == envelope


def test_the_order_of_keys_and_the_width_of_numbers_do_not_matter() -> None:
    codec = Codec(binary=True, reads=TO_SERVER, strict=True, frame_bytes_max=1000)
    loose = b"\xde\x00\x02" + b"\xa2id\xcf\x00\x00\x00\x00\x00\x00\x00\x01" + b"\xd9\x04type\xda\x00\x04ping"
    assert codec.decode(loose) == Envelope(Ping(), id=1)
