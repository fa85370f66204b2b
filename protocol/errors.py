"""The one table of error codes and the one of close codes: name, whether trying again can help, meaning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any


class ProtocolError(Exception):
    """Root of what this package raises about somebody else's bytes."""


class Code(StrEnum):
    """Every error code that can stand in an `error` message. `ERRORS` says what each means."""

    # the frame and the message
    MALFORMED = "MALFORMED"
    TOO_LARGE = "TOO_LARGE"
    TOO_DEEP = "TOO_DEEP"
    WRONG_FRAME = "WRONG_FRAME"
    UNSUPPORTED_TYPE = "UNSUPPORTED_TYPE"
    MISSING_FIELD = "MISSING_FIELD"
    UNKNOWN_FIELD = "UNKNOWN_FIELD"
    BAD_FIELD = "BAD_FIELD"
    # the handshake
    HELLO_REFUSED = "HELLO_REFUSED"
    HELLO_LATE = "HELLO_LATE"
    WRONG_AUTHORITY = "WRONG_AUTHORITY"
    BAD_SEAL = "BAD_SEAL"
    TOO_MANY_CONNECTIONS = "TOO_MANY_CONNECTIONS"
    # puzzles
    SQUARINGS_OUT_OF_RANGE = "SQUARINGS_OUT_OF_RANGE"
    PRODUCT_TOO_SMALL = "PRODUCT_TOO_SMALL"
    PRODUCT_TOO_LARGE = "PRODUCT_TOO_LARGE"
    PRODUCT_EVEN = "PRODUCT_EVEN"
    PRODUCT_SMALL_FACTOR = "PRODUCT_SMALL_FACTOR"
    PRODUCT_PERFECT_POWER = "PRODUCT_PERFECT_POWER"
    PRODUCT_PRIME = "PRODUCT_PRIME"
    BASE_OUT_OF_RANGE = "BASE_OUT_OF_RANGE"
    BASE_NOT_COPRIME = "BASE_NOT_COPRIME"
    # tasks and assignments
    TASK_NOT_FOUND = "TASK_NOT_FOUND"
    TASK_ENDED = "TASK_ENDED"
    TOO_MANY_OPEN_TASKS = "TOO_MANY_OPEN_TASKS"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    ASSIGNMENT_NOT_FOUND = "ASSIGNMENT_NOT_FOUND"
    ASSIGNMENT_ENDED = "ASSIGNMENT_ENDED"
    ALREADY_ANSWERED = "ALREADY_ANSWERED"
    ANSWER_OUT_OF_RANGE = "ANSWER_OUT_OF_RANGE"
    PROOF_MALFORMED = "PROOF_MALFORMED"
    TOO_MANY_PROOFS = "TOO_MANY_PROOFS"
    CHECKPOINT_REFUSED = "CHECKPOINT_REFUSED"
    CHECKPOINT_EARLY = "CHECKPOINT_EARLY"
    # complaints
    COMPLAINT_EARLY = "COMPLAINT_EARLY"
    COMPLAINT_LATE = "COMPLAINT_LATE"
    COMPLAINT_EXISTS = "COMPLAINT_EXISTS"
    COMPLAINT_NOT_FOUND = "COMPLAINT_NOT_FOUND"
    COMPLAINT_ENDED = "COMPLAINT_ENDED"
    NOTHING_TO_COMPLAIN = "NOTHING_TO_COMPLAIN"
    TOO_MANY_COMPLAINTS = "TOO_MANY_COMPLAINTS"
    NOT_A_FACTOR = "NOT_A_FACTOR"
    # the subnet
    NOT_REGISTERED = "NOT_REGISTERED"
    REPUTATION_TOO_LOW = "REPUTATION_TOO_LOW"
    NO_MINER_AVAILABLE = "NO_MINER_AVAILABLE"
    CONFLICT_OF_INTEREST = "CONFLICT_OF_INTEREST"
    INVALID_STATUS = "INVALID_STATUS"
    TASK_EXPIRED = "TASK_EXPIRED"
    NOT_ASSIGNED = "NOT_ASSIGNED"
    DUPLICATE_COMPLETION = "DUPLICATE_COMPLETION"
    SELF_VOTE = "SELF_VOTE"
    VOTING_CLOSED = "VOTING_CLOSED"
    ALREADY_LINKED = "ALREADY_LINKED"
    NOT_LINKED = "NOT_LINKED"
    TOO_MANY_CONTRIBUTORS = "TOO_MANY_CONTRIBUTORS"
    # the hive
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_CLAIMED_BY_YOU = "NOT_CLAIMED_BY_YOU"
    NOT_FOUND = "NOT_FOUND"
    CLAIM_NOT_FOUND = "CLAIM_NOT_FOUND"
    DELIVERABLE_NOT_FOUND = "DELIVERABLE_NOT_FOUND"
    AGENT_NOT_FOUND = "AGENT_NOT_FOUND"
    USER_NOT_FOUND = "USER_NOT_FOUND"
    WEBHOOK_NOT_FOUND = "WEBHOOK_NOT_FOUND"
    TASK_NOT_OPEN = "TASK_NOT_OPEN"
    TASK_NOT_CLAIMED = "TASK_NOT_CLAIMED"
    DUPLICATE_CLAIM = "DUPLICATE_CLAIM"
    MAX_REVISIONS = "MAX_REVISIONS"
    REVISIONS_REMAINING = "REVISIONS_REMAINING"
    DUPLICATE_REVIEW = "DUPLICATE_REVIEW"
    MAX_WEBHOOKS = "MAX_WEBHOOKS"
    MAX_AGENTS = "MAX_AGENTS"
    MAX_TASKS = "MAX_TASKS"
    EMAIL_TAKEN = "EMAIL_TAKEN"
    INVALID_PARAMETER = "INVALID_PARAMETER"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    INVALID_CREDITS = "INVALID_CREDITS"
    IDEMPOTENCY_KEY_TOO_LONG = "IDEMPOTENCY_KEY_TOO_LONG"
    IDEMPOTENCY_KEY_MISMATCH = "IDEMPOTENCY_KEY_MISMATCH"
    IDEMPOTENCY_KEY_IN_FLIGHT = "IDEMPOTENCY_KEY_IN_FLIGHT"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    # limits
    RATE_LIMITED = "RATE_LIMITED"
    BANNED = "BANNED"
    # the HTTP port
    PATH_NOT_FOUND = "PATH_NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    # the server
    WRONG_ENDPOINT = "WRONG_ENDPOINT"
    QUEUE_FULL = "QUEUE_FULL"
    DRAINING = "DRAINING"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class ErrorMeaning:
    """One row of the table of errors: `retryable` says whether the same request can succeed later."""

    retryable: bool
    meaning: str


ERRORS: dict[Code, ErrorMeaning] = {
    Code.MALFORMED: ErrorMeaning(False, "The frame is not one message in the chosen format."),
    Code.TOO_LARGE: ErrorMeaning(False, "The frame, or a request's body, has more bytes than it may have."),
    Code.TOO_DEEP: ErrorMeaning(False, "The message nests deeper than messages do."),
    Code.WRONG_FRAME: ErrorMeaning(False, "A text frame where a binary one is due, or the other way round."),
    Code.UNSUPPORTED_TYPE: ErrorMeaning(False, "No message of this type exists in this direction."),
    Code.MISSING_FIELD: ErrorMeaning(False, "A field that the message needs is absent."),
    Code.UNKNOWN_FIELD: ErrorMeaning(False, "A request has a field that its message does not."),
    Code.BAD_FIELD: ErrorMeaning(False, "A field has the wrong type, length or range."),
    Code.HELLO_REFUSED: ErrorMeaning(False, "The hello's key, nonce, shared secret or signature does not hold."),
    Code.HELLO_LATE: ErrorMeaning(
        True, "The hello, or a solver's first message, did not arrive within `handshake_ms_max`."
    ),
    Code.WRONG_AUTHORITY: ErrorMeaning(False, "The hello names an authority (host:port) that this server is not."),
    Code.BAD_SEAL: ErrorMeaning(True, "A sealed frame did not open: altered, repeated, lost or out of order."),
    Code.TOO_MANY_CONNECTIONS: ErrorMeaning(True, "The server, the key or the address has all its connections."),
    Code.SQUARINGS_OUT_OF_RANGE: ErrorMeaning(False, "t is below 1 or above `squarings_max`."),
    Code.PRODUCT_TOO_SMALL: ErrorMeaning(False, "product has fewer bits than `modulus_bits_min`."),
    Code.PRODUCT_TOO_LARGE: ErrorMeaning(False, "product has more bits than `modulus_bits_max`."),
    Code.PRODUCT_EVEN: ErrorMeaning(False, "product is even."),
    Code.PRODUCT_SMALL_FACTOR: ErrorMeaning(False, "product has a prime factor below 65,536."),
    Code.PRODUCT_PERFECT_POWER: ErrorMeaning(False, "product is a perfect power."),
    Code.PRODUCT_PRIME: ErrorMeaning(False, "product is prime, so anybody can take the short cut."),
    Code.BASE_OUT_OF_RANGE: ErrorMeaning(False, "baseg is not in 2..product-2."),
    Code.BASE_NOT_COPRIME: ErrorMeaning(False, "baseg shares a factor with product."),
    Code.TASK_NOT_FOUND: ErrorMeaning(False, "No such task, or it is not yours."),
    Code.TASK_ENDED: ErrorMeaning(False, "The task has been answered, cancelled or has failed."),
    Code.TOO_MANY_OPEN_TASKS: ErrorMeaning(True, "You have `open_tasks_max` tasks that have not ended."),
    Code.IDEMPOTENCY_CONFLICT: ErrorMeaning(False, "The idempotency key was used with another request."),
    Code.ASSIGNMENT_NOT_FOUND: ErrorMeaning(False, "No such assignment, or it is not yours."),
    Code.ASSIGNMENT_ENDED: ErrorMeaning(False, "The assignment has expired, was released or was returned."),
    Code.ALREADY_ANSWERED: ErrorMeaning(False, "This assignment has its answer; a second one is not taken."),
    Code.ANSWER_OUT_OF_RANGE: ErrorMeaning(False, "The answer is not in 1..product-1."),
    Code.PROOF_MALFORMED: ErrorMeaning(
        False, "The proof is not of version 1, or not as long as t and product ask for."
    ),
    Code.TOO_MANY_PROOFS: ErrorMeaning(True, "`proofs_waiting_max` of your proofs wait to be checked."),
    Code.CHECKPOINT_REFUSED: ErrorMeaning(
        False, "The residues are none that the server could keep, or none are kept of this task; go on without."
    ),
    Code.CHECKPOINT_EARLY: ErrorMeaning(
        True, "A checkpoint of this assignment was taken less than `relay_interval_ms` ago."
    ),
    Code.COMPLAINT_EARLY: ErrorMeaning(True, "There is nothing to complain of yet: the promised time has not passed."),
    Code.COMPLAINT_LATE: ErrorMeaning(False, "The task's complaint deadline has passed, or it was cancelled."),
    Code.COMPLAINT_EXISTS: ErrorMeaning(False, "This complaint has been made before; its ruling is or will be pushed."),
    Code.COMPLAINT_NOT_FOUND: ErrorMeaning(False, "No such complaint, or it is not about you."),
    Code.COMPLAINT_ENDED: ErrorMeaning(False, "The complaint has its ruling, or you have responded."),
    Code.NOTHING_TO_COMPLAIN: ErrorMeaning(False, "The task has nothing that such a complaint could be about."),
    Code.TOO_MANY_COMPLAINTS: ErrorMeaning(True, "`complaints_rejected_max` of your complaints were rejected lately."),
    Code.NOT_A_FACTOR: ErrorMeaning(
        False, "The factor is not a prime that divides product, other than product itself."
    ),
    Code.NOT_REGISTERED: ErrorMeaning(False, "The key does not take part, or did not yet when it mattered."),
    Code.REPUTATION_TOO_LOW: ErrorMeaning(True, "Validators need `subnet_validator_reputation_min`."),
    Code.NO_MINER_AVAILABLE: ErrorMeaning(True, "Nobody who mines is there, or the named miner has its hands full."),
    Code.CONFLICT_OF_INTEREST: ErrorMeaning(False, "The miner is the validator, or one of them helps the other."),
    Code.INVALID_STATUS: ErrorMeaning(False, "The task is in a state that does not allow this."),
    Code.TASK_EXPIRED: ErrorMeaning(False, "The task's `expire_at` has passed."),
    Code.NOT_ASSIGNED: ErrorMeaning(False, "The task is not yours to answer, or not any more."),
    Code.DUPLICATE_COMPLETION: ErrorMeaning(False, "The task has its answer; there is one, and no editing it."),
    Code.SELF_VOTE: ErrorMeaning(False, "Its validator, its miner and those who help him do not judge a task."),
    Code.VOTING_CLOSED: ErrorMeaning(False, "The task's `voting_closes_at` has passed, or it is scored."),
    Code.ALREADY_LINKED: ErrorMeaning(False, "The key helps a miner already: one contributor, one miner."),
    Code.NOT_LINKED: ErrorMeaning(False, "There is no such link, or it has ended."),
    Code.TOO_MANY_CONTRIBUTORS: ErrorMeaning(True, "You have `subnet_contributors_max` contributors."),
    Code.UNAUTHORIZED: ErrorMeaning(False, "No API key or session that is known, or not any more."),
    Code.FORBIDDEN: ErrorMeaning(False, "It is not for you to do this, or your agent is paused or suspended."),
    Code.NOT_CLAIMED_BY_YOU: ErrorMeaning(False, "Another agent has the task."),
    Code.NOT_FOUND: ErrorMeaning(False, "There is nothing at this address."),
    Code.CLAIM_NOT_FOUND: ErrorMeaning(False, "The task has no such claim, or it is not yours to see."),
    Code.DELIVERABLE_NOT_FOUND: ErrorMeaning(False, "The task has no such deliverable."),
    Code.AGENT_NOT_FOUND: ErrorMeaning(False, "There is no such agent."),
    Code.USER_NOT_FOUND: ErrorMeaning(False, "There is no such user."),
    Code.WEBHOOK_NOT_FOUND: ErrorMeaning(False, "You have no such webhook."),
    Code.TASK_NOT_OPEN: ErrorMeaning(False, "The task takes no claims any more."),
    Code.TASK_NOT_CLAIMED: ErrorMeaning(False, "Only a task that is claimed and not begun can be rolled back."),
    Code.DUPLICATE_CLAIM: ErrorMeaning(False, "You have a pending claim on the task."),
    Code.MAX_REVISIONS: ErrorMeaning(False, "The task's `max_revisions` are used up."),
    Code.REVISIONS_REMAINING: ErrorMeaning(False, "Work is rejected for good only when its revisions are used up."),
    Code.DUPLICATE_REVIEW: ErrorMeaning(False, "The task has its review."),
    Code.MAX_WEBHOOKS: ErrorMeaning(False, "You have `hive_webhooks_max` webhooks."),
    Code.MAX_AGENTS: ErrorMeaning(False, "You have `hive_agents_max` agents."),
    Code.MAX_TASKS: ErrorMeaning(False, "You have `hive_open_tasks_max` tasks that have not ended."),
    Code.EMAIL_TAKEN: ErrorMeaning(False, "Somebody is registered with this e-mail address."),
    Code.INVALID_PARAMETER: ErrorMeaning(False, "A parameter has the wrong type, length or range, or does not fit."),
    Code.VALIDATION_ERROR: ErrorMeaning(False, "The request has a field too many, too few, or one that does not fit."),
    Code.INVALID_CREDITS: ErrorMeaning(False, "`proposed_credits` is more than the task's budget."),
    Code.IDEMPOTENCY_KEY_TOO_LONG: ErrorMeaning(False, "An idempotency key has 1 to 255 printable characters."),
    Code.IDEMPOTENCY_KEY_MISMATCH: ErrorMeaning(False, "The idempotency key was used with another request."),
    Code.IDEMPOTENCY_KEY_IN_FLIGHT: ErrorMeaning(True, "The request with this idempotency key is being carried out."),
    Code.INTERNAL_ERROR: ErrorMeaning(True, "A defect in the server; it has been logged and nothing was stored."),
    Code.RATE_LIMITED: ErrorMeaning(
        True,
        "More requests than the window allows. Another one before `retry_after_ms` bans a key; in the hive nobody.",
    ),
    Code.BANNED: ErrorMeaning(True, "The key is banned until `retry_after_ms` from now."),
    Code.PATH_NOT_FOUND: ErrorMeaning(False, "The HTTP port has nothing at this path."),
    Code.METHOD_NOT_ALLOWED: ErrorMeaning(False, "The HTTP port has this path for other methods; `Allow` names them."),
    Code.WRONG_ENDPOINT: ErrorMeaning(False, "This message belongs to the server's other endpoint."),
    Code.QUEUE_FULL: ErrorMeaning(True, "You have `queue_messages_max` requests waiting for their replies."),
    Code.DRAINING: ErrorMeaning(True, "The server is stopping and takes no new work."),
    Code.UNAVAILABLE: ErrorMeaning(True, "The storage cannot take the request now; nothing was stored."),
    Code.INTERNAL: ErrorMeaning(True, "A defect in the server; it has been logged and nothing was stored."),
}


class Close(IntEnum):
    """WebSocket close codes of this protocol (RFC 6455 §7.4.2 leaves 4000 to 4999 to applications)."""

    RENEW = 4000
    REPLACED = 4001
    BAD_MESSAGE = 4400
    HANDSHAKE_FAILED = 4401
    BANNED = 4403
    HANDSHAKE_TIMEOUT = 4408
    CREDENTIALS_ENDED = 4410
    TOO_SLOW = 4420
    AGENT_INACTIVE = 4423
    TOO_MANY_CONNECTIONS = 4429


CLOSES: dict[Close, str] = {
    Close.RENEW: "The session keys have served their time; connect again.",
    Close.REPLACED: "The same key has connected again; the newer connection stays.",
    Close.BAD_MESSAGE: "Too many frames that are no message, or one that did not open.",
    Close.HANDSHAKE_FAILED: "The hello was refused; the error before this says why.",
    Close.BANNED: "The key is banned; the error before this says until when.",
    Close.HANDSHAKE_TIMEOUT: "No valid hello in time.",
    Close.CREDENTIALS_ENDED: "/hive: the API key or the session has ended; it lets nobody in any more.",
    Close.TOO_SLOW: "The peer reads too slowly; nothing durable is lost, connect again.",
    Close.AGENT_INACTIVE: "/hive: the agent is paused or suspended; its events wait until it is active again.",
    Close.TOO_MANY_CONNECTIONS: "The server, this key or this address has all its connections.",
}


class MessageError(ProtocolError):
    """A refusal of one message: what the wire's `error` message is made of.

    `code` is a row of `ERRORS`, `message` names the thing, `suggestion` the next step.
    """

    def __init__(self, code: Code, message: str, suggestion: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{code}: {message} {suggestion}")
        self.code = code
        self.message = message
        self.suggestion = suggestion
        self.retry_after_ms = retry_after_ms

    def __reduce__(self) -> tuple[Any, ...]:
        """Refusals pass between processes of one server."""
        return _again, (type(self), self.code.value, self.message, self.suggestion, self.retry_after_ms)


def _again(
    kind: type[MessageError], code: str, message: str, suggestion: str, retry_after_ms: int | None
) -> MessageError:
    return kind(Code(code), message, suggestion, retry_after_ms=retry_after_ms)
