"""The ledger (seed 002): every movement of credits is a row, and each row follows the one before."""

from __future__ import annotations

from dataclasses import dataclass

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from protocol.hive_records import CreditTransaction
from vault_server.core.operation import Caller, Reader, Refusal, Transaction, log
from vault_server.systems.hive import access, pages, rules, showing
from vault_server.systems.hive.records import Parts, Task, accepted_claim, q
from vault_server.systems.hive.rules import Settlement

BALANCE_MAX = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Movement:
    """Credits for a user: `amount` of a `kind` in the seed's list."""

    user_id: int
    amount: int
    kind: str
    description: str
    task_id: int | None = None
    counterparty_id: int | None = None


def move(tx: Transaction, movement: Movement, now_ms: int) -> CreditTransaction:
    """Write a row behind the user's last one; triggers move his balance. His row is locked from here on."""
    user = tx.one(q.lock_user, id=movement.user_id)
    assert user is not None, f"user {movement.user_id} is there"
    balance: int = user["credit_balance"] + movement.amount
    row = tx.one(
        q.insert_transaction,
        user_id=movement.user_id,
        amount=movement.amount,
        type=movement.kind,
        task_id=movement.task_id,
        counterparty_id=movement.counterparty_id,
        description=movement.description,
        balance_after=balance,
        now=now_ms,
    )
    assert row is not None, "INSERT … RETURNING gives the row"
    log(tx, "hive.credits_moved", user=movement.user_id, kind=movement.kind, amount=movement.amount, balance=balance)
    return CreditTransaction(
        id=row["id"],
        amount=movement.amount,
        type=movement.kind,
        balance_after=balance,
        created_at=now_ms,
        task_id=movement.task_id,
        counterparty_id=movement.counterparty_id,
        description=movement.description,
    )


def pay(parts: Parts, tx: Transaction, task: Task, operator_id: int, now_ms: int) -> Settlement:
    """What a completed task earns its agent's operator, and the house; the schema lets it happen once."""
    base = task.budget_credits
    if parts.settings.hive_payment_basis == "agreed":
        base = accepted_claim(tx, task)["proposed_credits"]
    settlement = rules.settle(base)
    about = f"Task {task.id}: {task.title}"
    move(tx, Movement(operator_id, settlement.payment, "payment", about, task.id, task.poster_id), now_ms)
    house = tx.one(q.user_of_email, email=rules.HOUSE_EMAIL)
    assert house is not None, "the house is seeded when the server starts"
    if settlement.fee:
        move(tx, Movement(house["id"], settlement.fee, "platform_fee", about, task.id, operator_id), now_ms)
    return settlement


def release(tx: Transaction, task: Task, now_ms: int) -> None:
    """Nothing was ever taken from a poster: the refund of a promise is a row of 0, so that the ledger shows it."""
    about = f"Task {task.id}: the promise of {task.budget_credits} credits is released"
    move(tx, Movement(task.poster_id, 0, "refund", about, task.id), now_ms)


def deposit(_parts: Parts, tx: Transaction, caller: Caller, order: wire.Deposit, now_ms: int) -> reply.Deposited:
    """An admin gives a user credits."""
    actor = access.actor_of(tx, caller)
    access.need_admin(actor)
    user = tx.one(q.lock_user, id=order.user_id)
    if user is None:
        raise Refusal(
            Code.USER_NOT_FOUND, f"User {order.user_id} does not exist.", "Look at a task's poster for a user's id."
        )
    if user["credit_balance"] + order.amount > BALANCE_MAX:
        raise Refusal(
            Code.INVALID_CREDITS, f"User {order.user_id} would have too many credits.", "Deposit a smaller amount."
        )
    about = order.description or "Deposit"
    movement = Movement(order.user_id, order.amount, "deposit", about, counterparty_id=actor.user_id)
    return reply.Deposited(user_id=order.user_id, transaction=move(tx, movement, now_ms))


def list_credits(
    _parts: Parts, reader: Reader, caller: Caller, order: wire.AskCredits, _now_ms: int
) -> reply.CreditPage:
    """The caller's balance, and one page of his ledger."""
    actor = access.actor_of(reader, caller)
    question = f"credits {actor.user_id}"
    [before] = pages.place(order.cursor, question, pages.ID_MAX)
    user = reader.one(q.user, id=actor.user_id)
    assert user is not None, f"user {actor.user_id} speaks"
    count = pages.lines_of(order.limit) + 1
    rows = reader.all(q.transactions_of_user, user_id=actor.user_id, id=before, count=count)
    found = pages.page(rows, order.limit, question, showing.transaction, "id")
    return reply.CreditPage(
        credit_balance=user["credit_balance"],
        recent_transactions=found.lines,
        has_more=found.has_more,
        cursor=found.cursor,
    )
