"""Sealed frames open once, in order and unaltered; a direction's key ends before it is worn out."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Code, MessageError
from protocol.sealing import (
    BYTES_MAX,
    FRAMES_MAX,
    FROM_SERVER_LABEL,
    TAG_BYTES,
    TO_SERVER_LABEL,
    Opener,
    Opening,
    Sealer,
    Spent,
    challenge_bytes,
    direction_key,
    parts,
    shared_secret,
    welcome_body,
)
from protocol.session import Challenge

KEY = bytes(range(32))


def refused(opener: Opener, frame: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        opener.open(frame)
    assert caught.value.code is Code.BAD_SEAL


@given(payloads=st.lists(st.binary(max_size=100), max_size=5))
def test_frames_open_in_the_order_in_which_they_were_sealed(payloads: list[bytes]) -> None:
    sealer, opener = Sealer(KEY), Opener(KEY)
    for payload in payloads:
        frame = sealer.seal(payload)
        assert len(frame) == len(payload) + TAG_BYTES
        assert opener.open(frame) == payload


def test_equal_payloads_look_different() -> None:
    sealer = Sealer(KEY)
    assert sealer.seal(b"same") != sealer.seal(b"same")


def test_a_bit_flipped_anywhere_is_noticed() -> None:
    frame = Sealer(KEY).seal(b"one small message")
    for position in range(8 * len(frame)):
        altered = bytearray(frame)
        altered[position // 8] ^= 1 << position % 8
        refused(Opener(KEY), bytes(altered))


def test_a_truncated_or_lengthened_frame_is_noticed() -> None:
    frame = Sealer(KEY).seal(b"one small message")
    for length in range(len(frame)):
        refused(Opener(KEY), frame[:length])
    refused(Opener(KEY), frame + b"\x00")


def test_a_repeated_frame_is_noticed() -> None:
    sealer, opener = Sealer(KEY), Opener(KEY)
    frame = sealer.seal(b"pay")
    assert opener.open(frame) == b"pay"
    refused(opener, frame)


def test_a_lost_frame_is_noticed() -> None:
    sealer, opener = Sealer(KEY), Opener(KEY)
    sealer.seal(b"first")
    refused(opener, sealer.seal(b"second"))


def test_a_frame_of_the_other_direction_or_session_is_noticed() -> None:
    secret, h = b"s" * 32, b"h" * 32
    there, back = direction_key(secret, h, TO_SERVER_LABEL), direction_key(secret, h, FROM_SERVER_LABEL)
    assert there != back
    assert direction_key(secret, b"i" * 32, TO_SERVER_LABEL) != there
    refused(Opener(back), Sealer(there).seal(b"mirror"))


def test_the_last_frame_is_sealed_and_no_further_one() -> None:
    sealer, opener = Sealer(KEY, frames_max=2), Opener(KEY, frames_max=2)
    for payload in (b"one", b"two"):
        assert opener.open(sealer.seal(payload)) == payload
    with pytest.raises(Spent):
        sealer.seal(b"")
    with pytest.raises(Spent):
        opener.open(Sealer(KEY).seal(b""))


def test_the_last_byte_is_sealed_and_no_further_one() -> None:
    sealer = Sealer(KEY, bytes_max=10)
    sealer.seal(b"12345")
    sealer.seal(b"67890")
    sealer.seal(b"")
    with pytest.raises(Spent):
        sealer.seal(b"1")
    whole = Sealer(KEY).seal(b"12345")
    assert Opener(KEY, bytes_max=len(whole)).open(whole) == b"12345"
    with pytest.raises(Spent):
        Opener(KEY, bytes_max=len(whole) - 1).open(whole)


def test_the_limits_are_those_of_the_design() -> None:
    assert (FRAMES_MAX, BYTES_MAX) == (2**32, 2**40)


def test_direction_keys_are_hkdf_of_the_standard() -> None:
    secret, h = b"s" * 32, b"h" * 32
    extracted = hmac.new(h, secret, hashlib.sha256).digest()
    expanded = hmac.new(extracted, TO_SERVER_LABEL + b"\x01", hashlib.sha256).digest()
    assert direction_key(secret, h, TO_SERVER_LABEL) == expanded


def test_both_ends_compute_one_secret() -> None:
    one, two = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    public = [key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for key in (one, two)]
    assert shared_secret(one, public[1]) == shared_secret(two, public[0])


@pytest.mark.parametrize("low", [b"\x00" * 32, b"\x01" + b"\x00" * 31, b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_a_key_of_low_order_makes_no_secret(low: bytes) -> None:
    with pytest.raises(ValueError, match="shared key"):
        shared_secret(X25519PrivateKey.generate(), low)


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_different_rows_of_parts_never_look_the_same(one: list[bytes], two: list[bytes]) -> None:
    assert (parts(*one) == parts(*two)) == (one == two)


def test_parts_are_length_prefixed() -> None:
    assert parts(b"ab", b"") == b"\x00\x00\x00\x02ab\x00\x00\x00\x00"


def test_the_transcript_holds_everything_that_was_agreed() -> None:
    opening = Opening("/solver", ("vault.v1.sealed", "vault.v1.json"), "vault.v1.sealed")
    assert opening.transcript("localhost:1") == parts(
        b"vault transcript v1", b"/solver", b"localhost:1", b"vault.v1.sealed,vault.v1.json", b"vault.v1.sealed"
    )


def test_numbers_are_eight_bytes_and_limits_are_sorted() -> None:
    challenge = Challenge(version=1, nonce=b"n" * 32, server_key=b"k" * 32, ephemeral=b"e" * 32, server_time_ms=258)
    assert challenge_bytes(challenge) == parts(
        struct.pack(">Q", 1), b"n" * 32, b"k" * 32, b"e" * 32, struct.pack(">Q", 258)
    )
    body = welcome_body("f" * 32, "5" * 32, {"b_max": 2, "a_max": 1})
    assert body == parts(b"f" * 32, b"5" * 32, b"a_max", struct.pack(">Q", 1), b"b_max", struct.pack(">Q", 2))
