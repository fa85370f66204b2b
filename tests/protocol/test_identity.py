"""Keys: names drawn from them, signatures, and the file form."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.identity import SMALL_ORDER, BadKey, Identity, fingerprint_of, verify

# RFC 8032 §7.1, test 2
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_keys_and_signatures_are_those_of_the_standard() -> None:
    identity = Identity.from_private_bytes(SEED)
    assert identity.public_key == PUBLIC
    assert identity.sign(b"\x72") == SIGNATURE
    assert verify(PUBLIC, SIGNATURE, b"\x72")


def test_names_are_drawn_from_the_public_key() -> None:
    identity = Identity.from_private_bytes(SEED)
    assert identity.hotkey == PUBLIC.hex()
    assert identity.fingerprint == fingerprint_of(PUBLIC) == hashlib.sha256(PUBLIC).hexdigest()[:32]


def test_a_fresh_key_is_fresh() -> None:
    assert Identity.generate().hotkey != Identity.generate().hotkey


@settings(max_examples=50)
@given(position=st.integers(0, 511), signed=st.binary(max_size=64))
def test_a_signature_with_one_bit_flipped_does_not_hold(position: int, signed: bytes) -> None:
    identity = Identity.from_private_bytes(SEED)
    signature = bytearray(identity.sign(signed))
    assert verify(identity.public_key, bytes(signature), signed)
    signature[position // 8] ^= 1 << position % 8
    assert not verify(identity.public_key, bytes(signature), signed)
    assert not verify(identity.public_key, identity.sign(signed), signed + b"\x00")


@pytest.mark.parametrize("signature", [b"", SIGNATURE[:63], SIGNATURE + b"\x00"])
def test_a_signature_of_another_length_does_not_hold(signature: bytes) -> None:
    assert not verify(PUBLIC, signature, b"\x72")


@pytest.mark.parametrize("key", [b"", PUBLIC[:31], PUBLIC + b"\x00", b"\xff" * 32])
def test_what_is_no_key_proves_nothing(key: bytes) -> None:
    assert not verify(key, SIGNATURE, b"\x72")


NEUTRAL = bytes([1]) + bytes(31)


def holds_by_the_library(key: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(NEUTRAL + bytes(32), signed)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.parametrize("sign", [0x00, 0x80])
@pytest.mark.parametrize("y", sorted(SMALL_ORDER))
def test_a_key_of_small_order_proves_nothing(y: bytes, sign: int) -> None:
    # R = the neutral point and S = 0 hold over every message whose hash is a multiple of the key's order.
    key = y[:31] + bytes([y[31] | sign])
    assert not any(verify(key, NEUTRAL + bytes(32), bytes([number])) for number in range(64))


def test_the_library_itself_takes_a_key_of_small_order() -> None:
    assert all(holds_by_the_library(NEUTRAL, bytes([number])) for number in range(64))


def test_the_file_form_comes_back() -> None:
    identity = Identity.from_private_bytes(SEED)
    pem = identity.to_pem()
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert Identity.from_pem(pem).hotkey == identity.hotkey


ENCRYPTED = Identity.from_private_bytes(SEED).private_key.private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
)
OTHER_CURVE = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
NOT_FOR_SIGNING = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
TRUNCATED = Identity.from_private_bytes(SEED).to_pem()[:60]


@pytest.mark.parametrize("pem", [b"", b"\xff\x00", TRUNCATED, ENCRYPTED, OTHER_CURVE, NOT_FOR_SIGNING])
def test_a_file_that_holds_no_such_key_is_refused(pem: bytes) -> None:
    with pytest.raises(BadKey, match="the file holds"):
        Identity.from_pem(pem)


def test_a_key_never_shows_itself() -> None:
    identity = Identity.from_private_bytes(SEED)
    assert repr(identity) == f"Identity({identity.fingerprint})"
    assert SEED.hex() not in repr(identity)
