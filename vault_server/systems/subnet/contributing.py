"""Who may act for a miner (seed 001, Miner Contributors): one contributor, one miner; either side ends it, at once."""

from __future__ import annotations

from protocol import subnet as wire
from protocol.errors import Code
from vault_server.core.operation import Caller, Endpoint, Refusal, Row, Transaction, log
from vault_server.exchange import outbox, participants
from vault_server.systems.subnet.records import Parts, q
from vault_server.systems.subnet.states import LINK


def add_contributor(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.AddContributor, now_ms: int
) -> wire.ContributorAdded:
    """Link a key to the caller; one whose link has ended may be linked anew, also by another miner."""
    contributor = order.contributor_hotkey
    if contributor == caller.hotkey:
        raise Refusal(
            Code.CONFLICT_OF_INTEREST, "You cannot contribute to yourself.", "Answer your tasks with your own key."
        )
    participants.register(tx, caller, now_ms)
    participants.register_key(tx, contributor, now_ms)
    link = tx.one(q.link, contributor=contributor)
    _check_free(link, contributor)
    _check_room(parts, tx, caller)
    if link is None:
        tx.run(q.insert_link, contributor=contributor, miner=caller.hotkey, created_at=now_ms)
    else:
        changed = tx.run(q.link_again, contributor=contributor, miner=caller.hotkey, created_at=now_ms)
        assert changed == 1, f"the link of {contributor} is no longer revoked"
    _tell(tx, "contributor_linked", contributor, caller.hotkey, now_ms)
    before = None if link is None else link["miner_hotkey"]
    log(tx, "contributor.linked", contributor=contributor, miner=caller.hotkey, before=before)
    return wire.ContributorAdded(contributor_hotkey=contributor, created_at=now_ms)


def _state(link: Row) -> str:
    """What `revoked_at` says, as the table of states calls it."""
    return "active" if link["revoked_at"] is None else "revoked"


def _check_free(link: Row | None, contributor: str) -> None:
    if link is not None and not LINK.allows(_state(link), "link"):
        raise Refusal(
            Code.ALREADY_LINKED,
            f"Contributor {contributor} helps a miner already.",
            "A key helps one miner: it has to leave that one first (leave_miner).",
        )


def _check_room(parts: Parts, tx: Transaction, caller: Caller) -> None:
    tx.one(q.lock_participant, hotkey=caller.hotkey)
    counted = tx.one(q.count_contributors, miner=caller.hotkey)
    assert counted is not None, "an aggregate has a row"
    limit = parts.settings.subnet_contributors_max
    if counted["contributors"] >= limit:
        raise Refusal(
            Code.TOO_MANY_CONTRIBUTORS,
            f"You have {limit} contributors.",
            f"Revoke one first; {limit} may help one miner (subnet_contributors_max).",
        )


def revoke_contributor(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.RevokeContributor, now_ms: int
) -> wire.ContributorRemoved:
    """A miner ends a link of his."""
    return _revoke(tx, order.contributor_hotkey, caller, now_ms, miner=caller.hotkey)


def leave_miner(
    _parts: Parts, tx: Transaction, caller: Caller, _order: wire.LeaveMiner, now_ms: int
) -> wire.ContributorRemoved:
    """A contributor ends his own link: also the remedy of a key that was linked unasked."""
    return _revoke(tx, caller.hotkey, caller, now_ms, miner=None)


def _revoke(
    tx: Transaction, contributor: str, caller: Caller, now_ms: int, *, miner: str | None
) -> wire.ContributorRemoved:
    link = tx.one(q.link, contributor=contributor)
    if link is None or not LINK.allows(_state(link), "revoke") or miner not in (None, link["miner_hotkey"]):
        raise Refusal(
            Code.NOT_LINKED,
            f"{contributor} helps no miner." if miner is None else f"{contributor} is no contributor of yours.",
            "List the contributors to see who helps whom; a link that has ended needs no second end.",
        )
    linked_to: str = link["miner_hotkey"]
    ended_at = max(now_ms, link["created_at"])
    changed = tx.run(q.revoke_link, contributor=contributor, miner=linked_to, now=ended_at)
    assert changed == 1, f"the link of {contributor} is no longer active"
    _tell(tx, "contributor_revoked", contributor, linked_to, now_ms)
    log(tx, "contributor.revoked", contributor=contributor, miner=linked_to, by=caller.hotkey)
    return wire.ContributorRemoved(contributor_hotkey=contributor, miner_hotkey=linked_to, revoked_at=ended_at)


def _tell(tx: Transaction, kind: str, contributor: str, miner: str, now_ms: int) -> None:
    """Both sides; the row names the link as it is now, for it may be another one when it is sent."""
    for hotkey in (contributor, miner):
        row = tx.one(q.participant, hotkey=hotkey)
        assert row is not None, "both sides of a link take part"
        outbox.push(tx, row["fingerprint"], Endpoint.SUBNET, kind, contributor, now_ms, detail=miner)


def list_contributors(
    _parts: Parts, tx: Transaction, caller: Caller, _order: wire.ListContributors, _now_ms: int
) -> wire.ContributorList:
    """Who helps the caller, the active ones first, and whom he helps."""
    rows = tx.all(q.contributors_of_miner, miner=caller.hotkey, count=wire.LINES_MAX)
    link = tx.one(q.link_seen, contributor=caller.hotkey)
    is_active = link is not None and link["revoked_at"] is None
    return wire.ContributorList(
        contributors=tuple(
            wire.ContributorLine(
                contributor_hotkey=row["contributor_hotkey"], created_at=row["created_at"], revoked_at=row["revoked_at"]
            )
            for row in rows
        ),
        miner_hotkey=link["miner_hotkey"] if link is not None and is_active else None,
    )
