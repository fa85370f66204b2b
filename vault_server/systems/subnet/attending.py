"""Who takes part, and what he is there for while he is connected."""

from __future__ import annotations

from protocol import subnet as wire
from vault_server.core.operation import Caller, Transaction, log
from vault_server.exchange import participants
from vault_server.systems.subnet import voting
from vault_server.systems.subnet.records import Parts, q


def register(parts: Parts, tx: Transaction, caller: Caller, order: wire.Register, now_ms: int) -> wire.Registered:
    """Take part, and say what for while this key is connected."""
    participants.register(tx, caller, now_ms)
    mining, judging = _availability(parts, tx, caller, order)
    if judging:
        asked = tx.one(q.count_asks, receiver=caller.subject)
        assert asked is not None, "an aggregate has a row"
        voting.ask_again(parts, tx, caller, parts.settings.subnet_asks_max - asked["asked"], now_ms)
    row = tx.one(q.participant, hotkey=caller.hotkey)
    assert row is not None, "a registered key has a row"
    log(tx, "subnet.registered", participant=caller.fingerprint, mining=mining, judging=judging)
    return wire.Registered(
        hotkey=caller.hotkey,
        reputation_score=row["reputation_score"],
        registered_at=row["registered_at"],
        mining=mining,
        judging=judging,
    )


def _availability(parts: Parts, tx: Transaction, caller: Caller, order: wire.Register) -> tuple[bool, bool]:
    """Write what the caller is there for; what an earlier stay was for is over."""
    node = parts.settings.node
    before = tx.one(q.presence, hotkey=caller.hotkey, node=node)
    here = before is not None and before["is_online"] == 1
    if order.mining is None and order.judging is None:
        mining = judging = True
    else:
        mining = order.mining if order.mining is not None else here and bool(before and before["mining"])
        judging = order.judging if order.judging is not None else here and bool(before and before["judging"])
    has_mined = mining or bool(before and before["has_mined"])
    tx.run(
        q.set_presence,
        hotkey=caller.hotkey,
        node=node,
        mining=int(mining),
        judging=int(judging),
        has_mined=int(has_mined),
    )
    return mining, judging
