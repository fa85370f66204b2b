"""What can go wrong for somebody who asks: one root, and whose fault it is. Never holds a parameter, answer or key."""

from __future__ import annotations

from protocol import session
from protocol.errors import ERRORS, Code, MessageError
from vault_client.durations import format_duration


class VaultClientError(Exception):
    """Root of everything this package raises: `message` says what went wrong, `suggestion` what to do next."""

    def __init__(self, message: str, suggestion: str) -> None:
        super().__init__(f"{message} {suggestion}")
        self.message = message
        self.suggestion = suggestion


# the server and the way to it


class Refused(VaultClientError):
    """The server refused a request.

    `code` is a row of `protocol.errors.ERRORS` (or of a newer server's), `retryable` says whether the same request can
    succeed later, `retry_after_ms` when, if the server said so.
    """

    def __init__(
        self, code: str, message: str, suggestion: str, *, retryable: bool, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message, suggestion)
        self.code = code
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms

    @classmethod
    def by(cls, error: session.Error) -> Refused:
        """From the `error` message that answered a request."""
        return cls(
            error.code,
            error.message,
            error.suggestion,
            retryable=error.retryable,
            retry_after_ms=error.retry_after_ms,
        )

    @classmethod
    def of(cls, refusal: MessageError) -> Refused:
        """From our own check of a request, which says what the server would."""
        return cls(
            refusal.code.value,
            refusal.message,
            refusal.suggestion,
            retryable=ERRORS[refusal.code].retryable,
            retry_after_ms=refusal.retry_after_ms,
        )


class NotAdmitted(VaultClientError):
    """Several handshakes in a row were refused. Nobody signs that: it says nothing of any request or task.

    `code` is a row of `protocol.errors.ERRORS`.
    """

    def __init__(self, code: Code) -> None:
        super().__init__(
            f"The handshake was refused ({code}): {ERRORS[code].meaning}",
            "Dial one of its public names; its operator lists them in public_names."
            if code is Code.WRONG_AUTHORITY
            else "Check the address and the key, and that nothing stands between; what was begun is kept.",
        )
        self.code = code.value


class KeyRefused(VaultClientError):
    """The hive does not take this API key: it is not known or has ended (UNAUTHORIZED), or its agent may do nothing
    for now (FORBIDDEN). `code` is a row of `protocol.errors.ERRORS`."""

    def __init__(self, code: Code, message: str, suggestion: str) -> None:
        super().__init__(message, suggestion)
        self.code = code.value


class Banned(VaultClientError):
    """The server keeps this key out for `seconds_left` more. What was begun is kept.

    `told` is the server's own sentence where it could seal it, with the reason.
    """

    code = Code.BANNED.value

    def __init__(self, seconds_left: float, told: str = "") -> None:
        super().__init__(
            f"The server has banned this key for another {format_duration(max(1.0, seconds_left))}. {told}".strip(),
            "It ends by itself: come back then, and send less at once with this key.",
        )
        self.seconds_left = seconds_left
        self.told = told


class ServerUnreachable(VaultClientError):
    """No conversation with the server came about in the time that was given."""


class ServerNotTrusted(VaultClientError):
    """The server shows another key than the pinned one, or cannot prove the key it names. Nothing was said to it."""


class AnotherServerKey(ServerNotTrusted):
    """The server shows another key than the pinned one."""


class ConnectionEnded(VaultClientError):
    """The connection is over for good: closed by its owner, or by the server with a lasting close code."""


# tasks


class TaskEndedError(VaultClientError):
    """A task ended without an answer; `task` is its id."""

    def __init__(self, task: str, message: str, suggestion: str) -> None:
        super().__init__(message, suggestion)
        self.task = task


class TaskFailedError(TaskEndedError):
    """The server gave a task up; `reason` is a word of docs/protocol.md."""

    def __init__(self, task: str, reason: str) -> None:
        super().__init__(task, f"Task {task} failed: {reason}.", "Submit the puzzle again.")
        self.reason = reason


class TaskCancelledError(TaskEndedError):
    """The task was cancelled by its owner."""

    def __init__(self, task: str) -> None:
        super().__init__(task, f"Task {task} was cancelled.", "Submit the puzzle again if you still want its answer.")


class AnswerRejected(VaultClientError):
    """An answer to `task` that fails its check on this machine; nothing of it was given to anybody.

    The server checks each answer before it sends it. So it lies or is broken, or somebody else speaks for it.
    """

    def __init__(self, task: str, reason: str) -> None:
        super().__init__(
            f"The answer that came for task {task} is rejected: {reason}. "
            "An honest server has checked that, so this one lies or is broken, or somebody speaks for it.",
            "Nothing was done with the answer. Submit the puzzle to another server, and tell this one's operator.",
        )
        self.task = task
        self.reason = reason


class TaskConfused(VaultClientError):
    """The server gave the name of one `task` to two puzzles, so that an answer to one would pass for the other's."""

    def __init__(self, task: str) -> None:
        super().__init__(
            f"The server names task {task} for a puzzle that is not the task's.",
            "Check the task's id. If you did not give one, this server lies or is broken: use another.",
        )
        self.task = task


class NotProved(VaultClientError):
    """A proof file that does not prove its answer to the puzzle that was named; `reason` says why."""

    def __init__(self, task: str, reason: str) -> None:
        super().__init__(
            f"This does not prove the answer to task {task}: {reason}.",
            "Check that t, baseg and product are those of the task. If they are, do not use the answer.",
        )
        self.task = task
        self.reason = reason


# files


class FileError(VaultClientError):
    """A file that cannot be read, written or used. What was there before is untouched."""


class NotALockedFile(FileError):
    """The file does not start like a locked file."""


class TooNew(FileError):
    """A file of a format version that this program does not know."""


class Damaged(FileError):
    """A locked file, ticket or resume file that is truncated or was changed since it was written."""


class WrongAnswer(FileError):
    """The answer is not the one that the locked file was made for; the file itself may be in order."""


class WrongFile(FileError):
    """A ticket or resume file that belongs to another locked file."""
