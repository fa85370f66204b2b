"""Encryption at rest: what was sealed opens in its own place under its own key, and nowhere else."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.puzzle import Puzzle
from vault_server.exchange.cipher import VERSION_MAX, Cipher, WrongMasterKey, version_of
from vault_server.systems.vault.records import open_puzzle, seal_puzzle

KEY, OTHER_KEY = b"k" * 32, b"l" * 32
SEALING_BYTES = 2 + 12 + 16


class Place(TypedDict):
    table: str
    row: str
    column: str
    owner: str


PLACE = Place(table="tasks", row="7f3a", column="parameter_t", owner="c0ffee")


def cipher(key: bytes = KEY, version: int = 1) -> Cipher:
    return Cipher(key, secrets.token_bytes, version)


@given(st.binary(max_size=2000))
def test_what_was_sealed_opens_again_also_by_another_process(value: bytes) -> None:
    sealed = cipher().seal(value, **PLACE)
    assert cipher().open(sealed, **PLACE) == value
    assert len(sealed) == len(value) + SEALING_BYTES


OTHER_PLACES = [
    Place(table="task_assignments", row="7f3a", column="parameter_t", owner="c0ffee"),
    Place(table="tasks", row="7f3b", column="parameter_t", owner="c0ffee"),
    Place(table="tasks", row="7f3a", column="parameter_baseg", owner="c0ffee"),
    Place(table="tasks", row="7f3a", column="parameter_t", owner="c0ffef"),
    Place(table="tasksparameter_t", row="7f3a", column="", owner="c0ffee"),
    Place(table="tasks", row="7f3ac0ffee", column="parameter_t", owner=""),
]


@pytest.mark.parametrize("other", OTHER_PLACES, ids=str)
def test_it_opens_in_no_other_place(other: Place) -> None:
    sealed = cipher().seal(b"secret", **PLACE)
    with pytest.raises(WrongMasterKey):
        cipher().open(sealed, **other)


def test_it_opens_under_no_other_key_or_version() -> None:
    sealed = cipher().seal(b"secret", **PLACE)
    with pytest.raises(WrongMasterKey, match=r"tasks\.parameter_t of 7f3a"):
        cipher(OTHER_KEY).open(sealed, **PLACE)
    with pytest.raises(WrongMasterKey, match="is sealed with version 1 of the master key, which is not given"):
        cipher(version=2).open(sealed, **PLACE)
    renamed = cipher(version=2)
    renamed.add(1, OTHER_KEY)
    with pytest.raises(WrongMasterKey, match="does not open"):
        renamed.open(sealed, **PLACE)
    with pytest.raises(WrongMasterKey, match="does not open"):
        renamed.open(b"\0\2" + sealed[2:], **PLACE)


def test_an_altered_bit_anywhere_behind_the_version_is_noticed() -> None:
    sealed = cipher().seal(b"secret", **PLACE)
    for position in range(2, len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        with pytest.raises(WrongMasterKey):
            cipher().open(bytes(altered), **PLACE)


@pytest.mark.parametrize("length", [0, 1, 2, 13, 14, 20, 29])
def test_what_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(WrongMasterKey):
        cipher().open(cipher().seal(b"secret", **PLACE)[:length], **PLACE)


def test_the_refusal_shows_neither_key_nor_value() -> None:
    sealed = cipher().seal(b"secret", **PLACE)
    with pytest.raises(WrongMasterKey) as caught:
        cipher(OTHER_KEY).open(sealed, **PLACE)
    text = str(caught.value) + repr(caught.value.__context__)
    assert not any(secret in text for secret in ("secret", KEY.hex(), OTHER_KEY.hex(), sealed.hex()))


def test_nonces_never_repeat() -> None:
    one = cipher()
    nonces = {one.seal(b"same", **PLACE)[2:14] for _ in range(10_000)}
    assert len(nonces) == 10_000


def test_the_size_of_t_does_not_show() -> None:
    modulus = 2**511 + 111
    lengths = set()
    for squarings in (1, 255, 4096, 2**32, 2**48, 2**53 - 1):
        puzzle = Puzzle(squarings, 2, modulus)
        sealed = seal_puzzle(cipher(), puzzle, "7f3a", "c0ffee")
        lengths.add((len(sealed.t), len(sealed.baseg), len(sealed.product)))
        row = {
            "fingerprint": "7f3a",
            "client_id": "c0ffee",
            "parameter_t": sealed.t,
            "parameter_baseg": sealed.baseg,
            "parameter_product": sealed.product,
        }
        assert open_puzzle(cipher(), row) == puzzle
    assert lengths == {(8 + SEALING_BYTES, 64 + SEALING_BYTES, 64 + SEALING_BYTES)}


def test_the_size_of_the_base_does_not_show() -> None:
    puzzle = Puzzle(10, 2, 2**511 + 111)
    large = replace(puzzle, base=puzzle.modulus - 2)
    assert len(seal_puzzle(cipher(), puzzle, "a", "b").baseg) == len(seal_puzzle(cipher(), large, "a", "b").baseg)


# several versions of the master key


def test_each_version_opens_and_the_newest_seals() -> None:
    old, new = cipher(), cipher(OTHER_KEY, version=2)
    both = Cipher.of({1: KEY, 2: OTHER_KEY}, secrets.token_bytes)
    assert (both.version, both.versions) == (2, [2, 1])
    assert both.open(old.seal(b"secret", **PLACE), **PLACE) == b"secret"
    sealed = both.seal(b"secret", **PLACE)
    assert version_of(sealed) == 2
    assert new.open(sealed, **PLACE) == b"secret"


def test_what_was_added_seals_only_once_it_is_activated() -> None:
    one = cipher()
    one.add(2, OTHER_KEY)
    assert version_of(one.seal(b"secret", **PLACE)) == 1
    one.activate(2)
    assert version_of(one.seal(b"secret", **PLACE)) == 2
    assert one.open(cipher().seal(b"secret", **PLACE), **PLACE) == b"secret"


def test_a_version_is_one_key_for_good() -> None:
    one = cipher()
    one.add(1, KEY)
    with pytest.raises(AssertionError, match="version 1 is another master key already"):
        one.add(1, OTHER_KEY)


@pytest.mark.parametrize(("version", "fits"), [(1, True), (0, False), (VERSION_MAX, True), (VERSION_MAX + 1, False)])
def test_a_version_fits_two_bytes(version: int, fits: bool) -> None:
    if not fits:
        with pytest.raises(AssertionError, match="does not fit"):
            cipher(version=version)
        return
    one = cipher(version=version)
    sealed = one.seal(b"secret", **PLACE)
    assert (version_of(sealed), one.open(sealed, **PLACE)) == (version, b"secret")


def test_threads_seal_and_open_while_versions_come() -> None:
    one, done = cipher(), threading.Event()
    seen = set()

    def use() -> None:
        while not done.is_set():
            sealed = one.seal(b"secret", **PLACE)
            seen.add(version_of(sealed))
            assert one.open(sealed, **PLACE) == b"secret"

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as threads:
            users = [threads.submit(use) for _ in range(4)]
            for version in range(2, 40):
                one.add(version, secrets.token_bytes(32))
                one.activate(version)
                while version not in seen and not any(user.done() for user in users):
                    time.sleep(0)
            done.set()
            assert [user.result() for user in users] == [None] * 4
    finally:
        done.set()
        sys.setswitchinterval(interval)
    assert seen >= set(range(2, 40))


# the keyed hash and the check value


def test_the_keyed_hash_tells_values_apart_and_keys_too() -> None:
    one, other = cipher(), cipher()
    assert one.fingerprint(b"a") == one.fingerprint(b"a") != one.fingerprint(b"b")
    assert one.fingerprint(b"a") != other.fingerprint(b"a"), "each database has its own"
    other.hash_key = one.hash_key
    assert one.fingerprint(b"a") == other.fingerprint(b"a")
    assert len(one.fingerprint(b"")) == 32


def test_the_check_value_knows_its_key_and_version() -> None:
    cipher().verify(1, cipher().check_value(1))
    with pytest.raises(WrongMasterKey):
        cipher(OTHER_KEY).verify(1, cipher().check_value(1))
    both = Cipher.of({1: KEY, 2: OTHER_KEY}, secrets.token_bytes)
    both.verify(1, both.check_value(1))
    with pytest.raises(WrongMasterKey):
        both.verify(2, both.check_value(1))


def test_a_missing_version_is_named_with_those_that_are_given() -> None:
    both = Cipher.of({3: KEY, 2: OTHER_KEY}, secrets.token_bytes)
    with pytest.raises(WrongMasterKey, match=r"version 1 of the master key is not among those given \(3, 2\)"):
        both.verify(1, cipher().check_value(1))


def test_a_short_master_key_is_a_defect() -> None:
    with pytest.raises(AssertionError, match="32 bytes"):
        cipher(b"short")
