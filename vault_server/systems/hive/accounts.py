"""People: they register, log in and out, and describe themselves; an operator makes one of them an admin."""

from __future__ import annotations

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from vault_server.core.accounts import Credentials
from vault_server.core.operation import AccountChanged, Caller, Reader, Refusal, Transaction, log
from vault_server.systems.hive import access, credits, keys, orders, rules, showing
from vault_server.systems.hive.credits import Movement
from vault_server.systems.hive.records import Parts, q

SELF_GIVEN_ROLES = ("poster", "operator", "both")
"""Roles that somebody may register with: nobody makes himself an admin."""


def credentials_of(reader: Reader, email: str) -> Credentials:
    """Of this address (`hive_fields.Email`). Somebody unknown looks like somebody who cannot log in."""
    row = reader.one(q.user_of_email, email=email)
    return Credentials(None, None) if row is None else Credentials(row["id"], row["password_hash"])


def wrong_credentials() -> Refusal:
    """The same for an address that is not known and for a wrong password."""
    return Refusal(
        Code.UNAUTHORIZED, "E-mail address and password do not fit.", "Check both, or register with this address."
    )


def email_taken() -> Refusal:
    """Nobody registers twice."""
    return Refusal(
        Code.EMAIL_TAKEN, "Somebody is registered with this e-mail address.", "Log in, or use another address."
    )


def register_user(
    _parts: Parts, tx: Transaction, _caller: Caller, order: orders.RegisterUser, now_ms: int
) -> reply.AccountShown:
    """A new user, with his bonus."""
    if order.role not in SELF_GIVEN_ROLES:
        raise Refusal(
            Code.VALIDATION_ERROR,
            f"Field 'role': nobody registers as {order.role!r}.",
            f"Choose one of {', '.join(SELF_GIVEN_ROLES)}.",
        )
    if tx.one(q.user_of_email, email=order.email) is not None:
        raise email_taken()
    row = tx.one(
        q.insert_user,
        email=order.email,
        name=order.name,
        role=order.role,
        password_hash=order.password_hash,
        now=now_ms,
    )
    assert row is not None, "INSERT … RETURNING gives the row"
    credits.move(tx, Movement(row["id"], rules.NEW_USER_BONUS, "bonus", "Welcome"), now_ms)
    log(tx, "hive.user_registered", user=row["id"], role=order.role)
    return _account(tx, row["id"])


def open_session(
    parts: Parts, tx: Transaction, _caller: Caller, order: orders.OpenSession, now_ms: int
) -> orders.SessionOpened:
    """A session for a user who has shown his password."""
    token = keys.make_token(parts.random_bytes)
    expires_at = now_ms + parts.settings.hive_session_ms
    tx.run(q.insert_session, token_hash=keys.hash_of(token), user_id=order.user_id, now=now_ms, expires_at=expires_at)
    log(tx, "hive.logged_in", user=order.user_id)
    return orders.SessionOpened(token, expires_at)


def close_session(_parts: Parts, tx: Transaction, _caller: Caller, order: orders.CloseSession, now_ms: int) -> None:
    """It has ended at once; harmless when repeated."""
    row = tx.one(q.session, token_hash=keys.hash_of(order.token), now=now_ms)
    tx.run(q.delete_session, token_hash=keys.hash_of(order.token))
    if row is not None:
        tx.after(AccountChanged(f"user:{row['user_id']}"))


def appoint_admin(
    _parts: Parts, tx: Transaction, _caller: Caller, order: orders.AppointAdmin, now_ms: int
) -> orders.Appointed:
    """An operator's order: a registered user is an admin from now on."""
    row = tx.one(q.user_of_email, email=order.email.strip().lower())
    if row is None or row["password_hash"] is None:
        raise Refusal(Code.USER_NOT_FOUND, "Nobody is registered with this e-mail address.", "Have him register first.")
    before = tx.one(q.user_actor, id=row["id"])
    assert before is not None, f"user {row['id']} is there"
    tx.run(q.set_role, id=row["id"], role="admin", now=now_ms)
    log(tx, "hive.admin_appointed", user=row["id"], before=before["role"])
    return orders.Appointed(row["id"], before["role"])


def my_account(
    _parts: Parts, reader: Reader, caller: Caller, _order: wire.MyAccount, _now_ms: int
) -> reply.AccountShown:
    """A person's own account; an agent never sees its operator's."""
    actor = access.actor_of(reader, caller)
    access.need_person(actor)
    return _account(reader, actor.user_id)


def update_account(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.UpdateAccount, now_ms: int
) -> reply.AccountShown:
    """Change what the order names."""
    actor = access.actor_of(tx, caller)
    access.need_person(actor)
    row = tx.one(q.user, id=actor.user_id)
    assert row is not None, f"user {actor.user_id} speaks"

    def changed(value: object, column: str) -> str | None:
        return value if isinstance(value, str) else row[column] if value is None else None

    tx.run(
        q.update_user,
        id=actor.user_id,
        name=order.name or row["name"],
        bio=changed(order.bio, "bio"),
        avatar_url=changed(order.avatar_url, "avatar_url"),
        now=now_ms,
    )
    return _account(tx, actor.user_id)


def _account(reader: Reader, user_id: int) -> reply.AccountShown:
    row = reader.one(q.user, id=user_id)
    assert row is not None, f"user {user_id} is there"
    return reply.AccountShown(account=showing.account(row))
