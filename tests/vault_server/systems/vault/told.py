"""A database file in which something of everything has happened, for those who look at it afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

from protocol.vault import Complain
from tests.vault_server.people import client
from tests.vault_server.systems.vault.harness import AGREED, COMPUTED, PROVED, Vault, answer_to, settings_for
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, C, D, start
from vault_server.exchange.master_keys import agree_on_master_keys
from vault_server.keys import master_key_path
from vault_server.storage.sqlite import SqliteDatabase

BOB = client("bob")


async def stories(vault: Vault) -> None:
    """A task that was answered, one proved, one agreed on and complained of, one worked on, and one that waits."""
    _, [a, _] = await start(vault, COMPUTED)
    assert await vault.answer(A, a, answer_to(COMPUTED)) == "valid"
    proved = (await vault.submit(ANN, PROVED)).task
    await vault.prove(A, await vault.key(proved, A))
    await vault.judge()
    agreed = (await vault.submit(ANN, AGREED)).task
    for one in (A, B):
        await vault.answer(one, await vault.key(agreed, one), WRONG)
    await vault.give(ANN, Complain(task=agreed, kind="wrong_answer"))
    await vault.join(C)
    await vault.submit(BOB, AGREED)
    await vault.submit(BOB, AGREED)
    await vault.join(D)


def tell(folder: Path) -> Path:
    """The stories in a database with its master key beside it, as a server that was stopped leaves it: its path."""
    settings = settings_for(folder)

    async def run() -> None:
        vault = Vault(SqliteDatabase(settings.files), settings)
        await vault.database.start()
        cipher = vault.parts.cipher
        [outcome] = await vault.database.transact([lambda tx: agree_on_master_keys(tx, cipher, vault.now_ms)])
        assert outcome.error is None
        await stories(vault)
        await vault.database.stop()

    asyncio.run(run())
    key = master_key_path(settings.files)
    key.touch(mode=0o600)
    key.write_text((b"m" * 32).hex())
    return settings.files
