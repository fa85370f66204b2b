"""What a database and the given master keys agree on: a check value for each version, and one key of the keyed hash."""

from __future__ import annotations

import secrets

import pytest

from tests.vault_server.storage.rows import committed, sql
from vault_server.exchange.cipher import Cipher, WrongMasterKey
from vault_server.exchange.master_keys import agree_on_master_keys
from vault_server.storage.database import Database

KEY, OTHER_KEY = b"k" * 32, b"l" * 32


def cipher(key: bytes = KEY, version: int = 1) -> Cipher:
    return Cipher(key, secrets.token_bytes, version)


async def agree(database: Database, with_cipher: Cipher, now_ms: int = 5) -> None:
    await committed(database, lambda tx: agree_on_master_keys(tx, with_cipher, now_ms))


async def test_a_database_agrees_on_its_first_key_for_good(database: Database) -> None:
    for now_ms in (5, 6):
        await agree(database, cipher(), now_ms)
    with pytest.raises(WrongMasterKey):
        await agree(database, cipher(OTHER_KEY))
    rows = await database.read(lambda reader: reader.all(sql("SELECT version, created_at FROM master_keys")))
    assert [(row["version"], row["created_at"]) for row in rows] == [(1, 5)]


async def test_the_first_key_may_have_any_version(database: Database) -> None:
    await agree(database, cipher(version=7))
    with pytest.raises(WrongMasterKey, match=r"version 7 of the master key is not among those given \(1\)"):
        await agree(database, cipher())


async def test_a_key_under_another_version_is_refused(database: Database) -> None:
    await agree(database, cipher())
    with pytest.raises(WrongMasterKey, match="does not open"):
        await agree(database, Cipher.of({1: OTHER_KEY, 2: KEY}, secrets.token_bytes))


async def test_every_version_in_use_has_to_be_given(database: Database) -> None:
    await agree(database, cipher())
    both = Cipher.of({1: KEY, 2: OTHER_KEY}, secrets.token_bytes)
    insert = sql("INSERT INTO master_keys (version, check_value, created_at) VALUES (2, :check_value, 6)")
    await committed(database, lambda tx: tx.run(insert, check_value=both.check_value(2)))
    await agree(database, both)
    with pytest.raises(WrongMasterKey, match="version 2"):
        await agree(database, cipher())
    with pytest.raises(WrongMasterKey, match="version 1"):
        await agree(database, cipher(OTHER_KEY, version=2))


async def test_the_key_of_the_keyed_hash_is_made_once_and_stored_sealed(database: Database) -> None:
    first, second = cipher(), cipher()
    assert first.hash_key != second.hash_key
    await agree(database, first)
    await agree(database, second)
    assert first.hash_key == second.hash_key
    rows = await database.read(
        lambda reader: reader.all(sql("SELECT name, value FROM meta WHERE name <> 'schema_version'"))
    )
    [(name, value)] = [(row["name"], row["value"]) for row in rows]
    assert name == "hash_key"
    assert first.hash_key.hex() not in value


async def test_a_damaged_key_of_the_keyed_hash_is_noticed(database: Database) -> None:
    await agree(database, cipher())
    await committed(database, lambda tx: tx.run(sql("UPDATE meta SET value = '0001' || substr(value, 7) || 'ff'")))
    with pytest.raises(WrongMasterKey, match=r"meta\.value of hash_key"):
        await agree(database, cipher())
