"""Rotation of the master key while serving: a new key, then every sealed value anew, then the old key may go.

The order of things is what makes a crash harmless at any point. A key is kept on disk before the database names it,
and named before it seals. A key leaves the database when a whole pass over all sealed values has found none of it,
and leaves its store only after that. What is under way stands in `meta` and is driven by the deadline `reencrypt`.

The store is written inside the transaction, on purpose: the writer's turn is the one place where nothing else can
happen meanwhile, and it is two small files in the life of a key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from protocol.errors import Code
from vault_server.core.operation import (
    Caller,
    Endpoint,
    MasterKeyMade,
    Operation,
    Refusal,
    Report,
    SealedColumn,
    System,
    Transaction,
    log,
)
from vault_server.exchange import deadlines, presence
from vault_server.exchange.cipher import KEY_BYTES, Cipher
from vault_server.exchange.master_keys import (
    KeyStore,
    KeyStoreError,
    agree_on_master_keys,
    begin_using,
    end_using,
    keep_hash_key,
    versions_in_use,
)
from vault_server.exchange.reencrypting import SealedTable, tables_of
from vault_server.exchange.rotation import MasterKeyState, Rotation, forget, keep, master_key_state, under_way

REENCRYPT = "reencrypt"
ROWS_PER_BATCH = 200
PAUSE_MS = 25
"""Between two batches, so that at least as much of the writer's time is left to everybody else."""
RETRY_MS = 60_000


@dataclass(frozen=True, slots=True)
class AgreeOnMasterKeys:
    """The server starts: are the keys given that this database is written with? Raises WrongMasterKey."""


@dataclass(frozen=True, slots=True)
class RotateMasterKey:
    """Make a new master key and seal everything anew with it. The reply is a `MasterKeyState`."""


@dataclass(frozen=True, slots=True)
class ResumeRotation:
    """The server starts: take up what was under way, or what other keys than before call for."""


@dataclass(frozen=True, slots=True)
class Reencrypt:
    """Do the next small part of the rotation that is under way, and come again."""


class Rekeying:
    """The operations. `tables` are all that hold sealed values; one transaction looks at `rows_per_batch` of them."""

    def __init__(
        self,
        cipher: Cipher,
        store: KeyStore,
        tables: Mapping[str, SealedTable],
        random_bytes: Callable[[int], bytes],
        rows_per_batch: int,
    ) -> None:
        self._cipher = cipher
        self._store = store
        self._tables = tables
        self._random_bytes = random_bytes
        self._rows_per_batch = rows_per_batch

    def agree_on_master_keys(self, tx: Transaction, _caller: Caller, _order: AgreeOnMasterKeys, now_ms: int) -> None:
        """Before anything else is read or written."""
        agree_on_master_keys(tx, self._cipher, now_ms)

    def rotate_master_key(
        self, tx: Transaction, _caller: Caller, _order: RotateMasterKey, now_ms: int
    ) -> MasterKeyState:
        """Have a new master key from now on. May run twice: a key that is kept and not yet in use is taken first."""
        if under_way(tx) is not None:
            raise _is_under_way(master_key_state(tx))
        if presence.several_are_there(tx, now_ms):
            raise _several_nodes()
        newest, *older = versions_in_use(tx)
        try:
            kept = self._store.read()
            if max(kept) <= newest:
                self._store.add(newest + 1, self._random_bytes(KEY_BYTES))
                kept = self._store.read()
        except KeyStoreError as error:
            raise Refusal(Code.UNAVAILABLE, _sentence(error.problem), _sentence(error.suggestion)) from None
        version = max(kept)
        self._cipher.add(version, kept[version])
        tx.after(MasterKeyMade(version, kept[version]))
        self._use(tx, version, [newest, *older], now_ms)
        return master_key_state(tx)

    def resume_rotation(self, tx: Transaction, _caller: Caller, _order: ResumeRotation, now_ms: int) -> None:
        """Carry on after a start: use a newer key that was given, and see to older ones that are named or kept."""
        in_use, newest = versions_in_use(tx), self._cipher.version
        if newest not in in_use:
            if in_use and presence.several_are_there(tx, now_ms):
                self._cipher.activate(max(in_use))  # the others may not have the newer key, and could not read
                return
            self._use(tx, newest, in_use, now_ms)
            return
        rotation = self._unfinished(tx, in_use)
        if rotation is not None:
            keep(tx, rotation)
            deadlines.put(tx, REENCRYPT, "", now_ms)

    def reencrypt(self, tx: Transaction, _caller: Caller, _order: Reencrypt, now_ms: int) -> None:
        """One bounded part of the rotation."""
        rotation = under_way(tx)
        if rotation is None:
            return
        self._cipher.activate(rotation.version)  # its key and its row are on disk, and all writing is done in turns
        if rotation.phase == "retiring":
            self._retire(tx, rotation, now_ms)
            return
        keep(tx, self._walk(tx, rotation))
        deadlines.put(tx, REENCRYPT, "", now_ms + PAUSE_MS)

    def _use(self, tx: Transaction, version: int, older: Sequence[int], now_ms: int) -> None:
        begin_using(tx, self._cipher, version, now_ms)
        keep(tx, Rotation(version))
        deadlines.put(tx, REENCRYPT, "", now_ms)
        log(tx, "master_key.rotated", version=version, older=list(older))

    def _unfinished(self, tx: Transaction, in_use: Sequence[int]) -> Rotation | None:
        rotation, newest = under_way(tx), self._cipher.version
        if in_use != [newest]:
            # Other tables than before may have come with another version of the server: then from the beginning.
            same = rotation is not None and rotation.ends.keys() == self._tables.keys()
            return rotation if same else Rotation(newest)
        unneeded = [version for version in self._cipher.versions if version < newest]
        return Rotation(newest, "retiring", retired=unneeded) if unneeded else rotation

    def _walk(self, tx: Transaction, rotation: Rotation) -> Rotation:
        """The next batch of the pass, or what follows on its last one."""
        if not rotation.ends:
            rotation.ends = {name: table.end(tx) for name, table in self._tables.items()}
            rotation.places = dict.fromkeys(rotation.ends, 0)
            keep_hash_key(tx, self._cipher)
        name = rotation.next_table()
        if name is not None:
            after, until = rotation.places[name], rotation.ends[name]
            found = self._tables[name].reencrypt(tx, self._cipher, after, until, self._rows_per_batch)
            rotation.count(name, found)
        elif rotation.resealed:
            return Rotation(rotation.version, "checking")  # only a pass that finds nothing proves that nothing is left
        else:
            self._end_using(tx, rotation)
        return rotation

    def _end_using(self, tx: Transaction, rotation: Rotation) -> None:
        """A whole pass has found nothing to seal anew: the database needs no older key, but for what does not open."""
        for version in versions_in_use(tx):
            if version != rotation.version and version not in rotation.needed:
                end_using(tx, version)
                rotation.retired.append(version)
        rotation.phase = "retiring"

    def _retire(self, tx: Transaction, rotation: Rotation, now_ms: int) -> None:
        """The rows are gone from the disk: the store may drop the keys."""
        try:
            self._store.drop(rotation.retired)
        except KeyStoreError as error:
            log(tx, "master_key.postponed", version=rotation.version, retired=rotation.retired, reason=str(error))
            deadlines.put(tx, REENCRYPT, "", now_ms + RETRY_MS)
            return
        forget(tx)
        if rotation.retired:
            log(tx, "master_key.retired", version=rotation.version, retired=rotation.retired)
        if rotation.unreadable:
            log(
                tx,
                "master_key.kept",
                version=rotation.version,
                kept=versions_in_use(tx)[1:],
                values=rotation.unreadable,
                first=rotation.first_unreadable,
            )


def _is_under_way(state: MasterKeyState) -> Refusal:
    older = " and ".join(map(str, state.older)) or "older ones"
    return Refusal(
        Code.UNAVAILABLE,
        f"The rotation to version {state.version} of the master key, from {older}, is under way:"
        f" {state.phase}, {state.done} of {state.total} rows.",
        "Wait until the log says master_key.retired, then rotate again.",
        retry_after_ms=RETRY_MS,
    )


def _several_nodes() -> Refusal:
    return Refusal(
        Code.UNAVAILABLE,
        "Several nodes serve this database, and each keeps the master key for itself.",
        "Stop all nodes but one, rotate there, copy its key file to the others, and start them.",
        retry_after_ms=RETRY_MS,
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def system(
    cipher: Cipher,
    store: KeyStore,
    sealed: Iterable[SealedColumn],
    random_bytes: Callable[[int], bytes],
    *,
    rows_per_batch: int = ROWS_PER_BATCH,
) -> System:
    """Rotation in the shape of a system. `sealed` are the sealed columns of all the others."""
    rekeying = Rekeying(cipher, store, tables_of(sealed), random_bytes, rows_per_batch)
    itself = frozenset({Endpoint.SERVER})
    return System(
        name="rekeying",
        doors=[],
        operations=[
            Operation(AgreeOnMasterKeys, itself, rekeying.agree_on_master_keys),
            Operation(RotateMasterKey, frozenset({Endpoint.OPERATOR}), rekeying.rotate_master_key),
            Operation(ResumeRotation, itself, rekeying.resume_rotation),
            Operation(Reencrypt, itself, rekeying.reencrypt),
        ],
        pushes=[],
        reports=[Report("keys", lambda reader, _subject, _now_ms: asdict(master_key_state(reader)))],
        deadlines={REENCRYPT: lambda _subject: Reencrypt()},
        starting=[ResumeRotation()],
    )
