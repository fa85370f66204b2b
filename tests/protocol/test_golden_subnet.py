"""A few frames of the subnet written out by hand, in both formats."""

from __future__ import annotations

import pytest

from protocol.catalog import FROM_SERVER, TO_SERVER
from protocol.codec import Codec
from protocol.envelope import Envelope
from protocol.subnet import (
    CreateTask,
    LeaveMiner,
    Participant,
    ScoreChanges,
    ScoreLine,
    SubmitCompletion,
    Vote,
    VoteRequested,
)

KEY = "ab" * 32

TO = [
    (
        Envelope(CreateTask(task_type="sum", task_metadata='{"prompt":"2"}', validator_completion="5"), id=1),
        b"\x85\xa4type\xabcreate_task\xa2id\x01\xa9task_type\xa3sum"
        b'\xadtask_metadata\xae{"prompt":"2"}\xb4validator_completion\xa15',
        '{"type":"create_task","id":1,"task_type":"sum","task_metadata":"{\\"prompt\\":\\"2\\"}",'
        '"validator_completion":"5"}',
    ),
    (
        Envelope(SubmitCompletion(task_id=300, completion='"é"'), id=2),
        b'\x84\xa4type\xb1submit_completion\xa2id\x02\xa7task_id\xcd\x01\x2c\xaacompletion\xa4"\xc3\xa9"',
        '{"type":"submit_completion","id":2,"task_id":300,"completion":"\\"\\u00e9\\""}',
    ),
    (
        Envelope(Vote(task_id=7, chosen="a", against="b"), id=3),
        b"\x85\xa4type\xa4vote\xa2id\x03\xa7task_id\x07\xa6chosen\xa1a\xa7against\xa1b",
        '{"type":"vote","id":3,"task_id":7,"chosen":"a","against":"b"}',
    ),
    (Envelope(LeaveMiner(), id=4), b"\x82\xa4type\xableave_miner\xa2id\x04", '{"type":"leave_miner","id":4}'),
]
FROM = [
    (
        Envelope(VoteRequested(task_id=7, task_type="sum", voting_closes_at=9, prompt="1", a="2", b="3"), seq=5),
        b"\x88\xa4type\xaevote_requested\xa3seq\x05\xa7task_id\x07\xa9task_type\xa3sum\xb0voting_closes_at\x09"
        b"\xa6prompt\xa11\xa1a\xa12\xa1b\xa13",
        '{"type":"vote_requested","seq":5,"task_id":7,"task_type":"sum","voting_closes_at":9,"prompt":"1",'
        '"a":"2","b":"3"}',
    ),
    (
        Envelope(
            Participant(
                hotkey=KEY, fingerprint="cd" * 16, reputation_score=50.5, registered_at=1, roles=("validator",)
            ),
            re=6,
        ),
        b"\x87\xa4type\xabparticipant\xa2re\x06\xa6hotkey\xd9\x40" + KEY.encode()
        + b"\xabfingerprint\xd9\x20" + b"cd" * 16
        + b"\xb0reputation_score\xcb\x40\x49\x40\x00\x00\x00\x00\x00\xadregistered_at\x01\xa5roles\x91\xa9validator",
        f'{{"type":"participant","re":6,"hotkey":"{KEY}","fingerprint":"{"cd" * 16}","reputation_score":50.5,'
        '"registered_at":1,"roles":["validator"]}',
    ),
    (
        Envelope(
            ScoreChanges(
                hotkey=KEY,
                reputation_score=51.0,
                changes=(ScoreLine(id=2, score_change=1.0, score_after=51.0, reason="r", created_at=3, task_id=4),),
            ),
            re=7,
        ),
        b"\x85\xa4type\xadscore_changes\xa2re\x07\xa6hotkey\xd9\x40" + KEY.encode()
        + b"\xb0reputation_score\xcb\x40\x49\x80\x00\x00\x00\x00\x00\xa7changes\x91\x86\xa2id\x02"
        b"\xacscore_change\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\xabscore_after\xcb\x40\x49\x80\x00\x00\x00\x00\x00"
        b"\xa6reason\xa1r\xaacreated_at\x03\xa7task_id\x04",
        f'{{"type":"score_changes","re":7,"hotkey":"{KEY}","reputation_score":51.0,"changes":[{{"id":2,'
        '"score_change":1.0,"score_after":51.0,"reason":"r","created_at":3,"task_id":4}]}',
    ),
]  # fmt: skip
ROWS = [(TO_SERVER, *row) for row in TO] + [(FROM_SERVER, *row) for row in FROM]
IDS = [row[1].message.SHAPE.wire_type for row in ROWS]


@pytest.mark.parametrize(("reads", "envelope", "packed", "text"), ROWS, ids=IDS)
def test_messages_have_exactly_these_bytes(
    reads: dict[str, type], envelope: Envelope, packed: bytes, text: str
) -> None:
    for binary, payload in ((True, packed), (False, text.encode())):
        codec = Codec(binary=binary, reads=reads, strict=True, frame_bytes_max=1000)
        assert codec.encode(envelope) == payload
        assert codec.decode(payload) == envelope


def test_a_text_that_is_written_otherwise_means_the_same() -> None:
    codec = Codec(binary=False, reads=TO_SERVER, strict=True, frame_bytes_max=1000)
    loose = b'{"type":"submit_completion","id":1,"task_id":1,"completion":" { \\"b\\" : 1, \\"a\\": [ ] }"}'
    assert codec.decode(loose).message == SubmitCompletion(task_id=1, completion='{"a":[],"b":1}')
