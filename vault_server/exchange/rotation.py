"""A rotation of the master key as it is stored, so that a killed server carries on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from vault_server.core.operation import Reader, Transaction
from vault_server.exchange.master_keys import versions_in_use
from vault_server.exchange.reencrypting import Found
from vault_server.storage.queries import load

q = load(__package__)

_META = "rotation"


@dataclass(frozen=True, slots=True)
class MasterKeyState:
    """How the master keys stand: which version seals (0: there is none yet) and which older ones are still needed.

    `phase` is what is done now, with `done` of about `total` rows looked at.
    """

    version: int
    older: Sequence[int]
    phase: Literal["idle", "reencrypting", "checking", "retiring"]
    done: int
    total: int


@dataclass(slots=True)
class Rotation:
    """What is under way, as it is stored. A pass goes along each table, from `places` to `ends`, by primary key.

    Sealing is switched over before a pass sets its ends, so what comes behind them is sealed with the new key.
    `resealed` and `unreadable` count values in this pass; `needed` are the versions of values that do not open.
    """

    version: int
    phase: Literal["reencrypting", "checking", "retiring"] = "reencrypting"
    ends: dict[str, int] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    resealed: int = 0
    unreadable: int = 0
    first_unreadable: str = ""
    needed: list[int] = field(default_factory=list)
    retired: list[int] = field(default_factory=list)

    def next_table(self) -> str | None:
        """The first table that this pass is not through with."""
        return next((name for name, end in self.ends.items() if self.places[name] < end), None)

    def count(self, table: str, found: Found) -> None:
        """A batch has been looked at."""
        self.places[table] = found.last
        self.resealed += found.resealed
        self.unreadable += len(found.unreadable)
        for value in found.unreadable:
            self.first_unreadable = self.first_unreadable or value.place
            if value.version not in self.needed:
                self.needed.append(value.version)


def under_way(reader: Reader) -> Rotation | None:
    """The rotation that is under way."""
    row = reader.one(q.meta, name=_META)
    return None if row is None else Rotation(**json.loads(row["value"]))


def master_key_state(reader: Reader) -> MasterKeyState:
    """How the master keys of this database stand, as its rows say."""
    newest, *older = versions_in_use(reader) or [0]
    rotation = under_way(reader)
    if rotation is None:
        return MasterKeyState(newest, older, "idle", 0, 0)
    done, total = sum(rotation.places.values()), sum(rotation.ends.values())
    return MasterKeyState(newest, older, rotation.phase, done, total)


def keep(tx: Transaction, rotation: Rotation) -> None:
    """Store how far it is."""
    tx.run(q.set_meta, name=_META, value=json.dumps(asdict(rotation)))


def forget(tx: Transaction) -> None:
    """It is done."""
    tx.run(q.delete_meta, name=_META)
