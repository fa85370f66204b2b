"""One work in a transaction of its own: tried again where that may help, and what became of it known in every case.

A connection that is lost while COMMIT is under way leaves open whether it was committed. The transaction's number
answers that on the next connection, so that no work is done twice and none that was done is denied.
"""

from __future__ import annotations

import random
import time

import psycopg
from psycopg import errors

from vault_server.core.operation import Refusal
from vault_server.storage.database import Outcome, StorageError, Work
from vault_server.storage.postgres_session import LOST, Session, plain

TRIES_MAX = 6
PAUSE_SECONDS = 0.01
PAUSE_SECONDS_MAX = 0.2
SURPRISES_MAX = 2
"""A guarded change that met another state than was read (somebody was faster) is looked at again so many times."""
DOUBT_SECONDS_MAX = 10.0
DOUBT_PAUSE_SECONDS = 0.1

CONTENTION = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.UniqueViolation,  # two inserted the same at once: the second finds the row when it looks again
    errors.IntegrityConstraintViolation,  # a trigger found another state than the work had read
)
FULL = (errors.DiskFull, errors.OutOfMemory, errors.ConfigurationLimitExceeded)


def carry_out(session: Session, work: Work) -> Outcome:
    """Run `work` and commit it, or undo it. Operations are plain functions, so running one again is harmless."""
    for number in range(1, TRIES_MAX + 1):
        if number > 1:
            time.sleep(random.uniform(0, min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2**number)))  # noqa: S311
        try:
            outcome = _try(session, work)
        except psycopg.Error as error:
            session.end()
            session.forget_if_lost(error)
            if number == TRIES_MAX or not _may_help(session, error, number):
                return Outcome(error=error_of(error))
            continue
        except StorageError as error:
            session.end()
            return Outcome(error=error)
        if outcome is not None and not (isinstance(outcome.error, AssertionError) and number <= SURPRISES_MAX):
            return outcome
    return Outcome(error=StorageError("the connection was lost again and again"))


def error_of(error: psycopg.Error) -> Exception:
    """What is told of an error."""
    said = plain(error)
    if isinstance(error, psycopg.IntegrityError | psycopg.DataError):
        return type(error)(said)
    if isinstance(error, FULL):
        return StorageError(f"the database is full: {said}", full=True)
    return StorageError(f"the database refused: {said}")


def _try(session: Session, work: Work) -> Outcome | None:
    """Once; None when the connection was lost at the end and nothing of it was stored."""
    transaction, number = session.begin()
    try:
        value = work(transaction)
    except (psycopg.Error, StorageError):
        raise
    except Exception as error:
        session.end()
        return Outcome(error=error.with_traceback(None) if isinstance(error, Refusal) else error)
    try:
        session.commit()
    except psycopg.IntegrityError as error:  # what the schema defers to the end is no longer the work's own to see
        raise StorageError(f"the database refused: {error.diag.message_primary}") from None
    except psycopg.OperationalError as error:
        if not (session.is_lost or isinstance(error, LOST)):
            raise
        session.forget_if_lost(error)
        if not _is_committed(session, number):
            return None
    return Outcome(value=value, effects=transaction.effects)


def _may_help(session: Session, error: psycopg.Error, number: int) -> bool:
    """Whether to try again: at once after a loss, for there may be a server that answers; else in contention."""
    if isinstance(error, CONTENTION):
        return True
    return number == 1 and (session.is_lost or isinstance(error, LOST))


def _is_committed(session: Session, number: str) -> bool:
    """What became of a transaction whose COMMIT was not answered. Raises StorageError when nobody can say."""
    until = time.monotonic() + DOUBT_SECONDS_MAX
    while time.monotonic() < until:
        try:
            status = session.status_of(number)
        except psycopg.Error as error:
            session.forget_if_lost(error)
            status = None
        if status in ("committed", "aborted"):
            return status == "committed"
        time.sleep(DOUBT_PAUSE_SECONDS)
    raise StorageError("the connection was lost at the commit, and the server has not come back", in_doubt=True)
