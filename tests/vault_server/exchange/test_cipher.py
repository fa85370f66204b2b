"""Encryption at rest: what was sealed opens in its own place under its own key, and nowhere else."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.puzzle import Puzzle
from tests.vault_server.storage.rows import committed, sql
from vault_server.exchange.cipher import Cipher, WrongMasterKey, agree_on_master_key
from vault_server.storage.sqlite import SqliteDatabase
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
    with pytest.raises(WrongMasterKey):
        cipher(version=2).open(sealed, **PLACE)


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


# the keyed hash and the check value


def test_the_keyed_hash_tells_values_apart_and_keys_too() -> None:
    assert cipher().fingerprint(b"a") == cipher().fingerprint(b"a")
    assert len({cipher().fingerprint(b"a"), cipher().fingerprint(b"b"), cipher(OTHER_KEY).fingerprint(b"a")}) == 3
    assert len(cipher().fingerprint(b"")) == 32


def test_the_check_value_knows_its_key() -> None:
    cipher().verify(cipher().check_value())
    with pytest.raises(WrongMasterKey):
        cipher(OTHER_KEY).verify(cipher().check_value())


async def test_a_database_agrees_on_its_first_key_for_good(database: SqliteDatabase) -> None:
    for _ in range(2):
        await committed(database, lambda tx: agree_on_master_key(tx, cipher(), 5))
    with pytest.raises(WrongMasterKey):
        await committed(database, lambda tx: agree_on_master_key(tx, cipher(OTHER_KEY), 6))
    rows = await database.read(lambda reader: reader.all(sql("SELECT version, created_at FROM master_keys")))
    assert [(row["version"], row["created_at"]) for row in rows] == [(1, 5)]


def test_a_short_master_key_is_a_defect() -> None:
    with pytest.raises(AssertionError, match="32 bytes"):
        cipher(b"short")
