"""The tables of docs/protocol.md that follow from the code: messages, errors, close codes, limits, states."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from protocol import hive, sealing, subnet
from protocol.catalog import FROM_SERVER, TO_SERVER
from protocol.codec import DEPTH_MAX
from protocol.envelope import Kind, Message
from protocol.errors import CLOSES, ERRORS, Code
from protocol.fields import INTEGER_MAX
from protocol.json_text import JSON_DEPTH_MAX
from protocol.records import FieldSpec, Records
from protocol.vault import MODULUS_BYTES_MAX
from tests.protocol import reference_hive, reference_subnet, vectors
from vault_server.core.states import Transitions
from vault_server.settings import LIMITS, Settings
from vault_server.systems.subnet.states import TASK as SUBNET_TASK
from vault_server.systems.vault.rules import WEIGHTS
from vault_server.systems.vault.states import ASSIGNMENT, COMPLAINT, TASK

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

PUZZLE = (
    Code.SQUARINGS_OUT_OF_RANGE, Code.PRODUCT_TOO_SMALL, Code.PRODUCT_TOO_LARGE, Code.PRODUCT_EVEN,
    Code.PRODUCT_SMALL_FACTOR, Code.PRODUCT_PERFECT_POWER, Code.PRODUCT_PRIME, Code.BASE_OUT_OF_RANGE,
    Code.BASE_NOT_COPRIME,
)  # fmt: skip
ASSIGNED = (Code.ASSIGNMENT_NOT_FOUND, Code.ASSIGNMENT_ENDED, Code.ALREADY_ANSWERED)

REPLIES: Mapping[str, str] = {
    "ping": "pong",
    "tlp": "tlp_accepted",
    "task_status": "task_state",
    "cancel": "task_cancelled",
    "list_tasks": "task_list",
    "complaint": "complaint_taken",
    "complaint_response": "complaint_heard",
    "status_update": "status_updated",
    "accept": "accepted",
    "tlp_response": "answer_taken",
    "return": "returned",
    **reference_subnet.REPLIES,
    "checkpoint": "checkpoint_taken",
}
REFUSALS: Mapping[str, tuple[Code, ...]] = {
    "hello": (Code.HELLO_REFUSED, Code.HELLO_LATE, Code.WRONG_AUTHORITY, Code.TOO_MANY_CONNECTIONS, Code.BANNED),
    "tlp": (*PUZZLE, Code.TOO_MANY_OPEN_TASKS, Code.IDEMPOTENCY_CONFLICT),
    "task_status": (Code.TASK_NOT_FOUND,),
    "cancel": (Code.TASK_NOT_FOUND, Code.TASK_ENDED),
    "list_tasks": (Code.TASK_NOT_FOUND,),
    "complaint": (
        Code.TASK_NOT_FOUND, Code.COMPLAINT_EARLY, Code.COMPLAINT_LATE, Code.COMPLAINT_EXISTS,
        Code.NOTHING_TO_COMPLAIN, Code.TOO_MANY_COMPLAINTS, Code.NOT_A_FACTOR,
    ),
    "complaint_response": (
        Code.COMPLAINT_NOT_FOUND, Code.COMPLAINT_ENDED, Code.PROOF_MALFORMED, Code.TOO_MANY_PROOFS,
    ),
    "accept": ASSIGNED,
    "tlp_response": (*ASSIGNED, Code.ANSWER_OUT_OF_RANGE, Code.PROOF_MALFORMED, Code.TOO_MANY_PROOFS),
    "return": ASSIGNED,
    **reference_subnet.REFUSALS,
    "checkpoint": (*ASSIGNED, Code.CHECKPOINT_REFUSED, Code.CHECKPOINT_EARLY),
}  # fmt: skip
ANY_MESSAGE = (
    Code.MALFORMED, Code.TOO_LARGE, Code.TOO_DEEP, Code.WRONG_FRAME, Code.BAD_SEAL, Code.UNSUPPORTED_TYPE,
    Code.MISSING_FIELD, Code.UNKNOWN_FIELD, Code.BAD_FIELD, Code.WRONG_ENDPOINT, Code.QUEUE_FULL, Code.RATE_LIMITED,
    Code.DRAINING, Code.UNAVAILABLE, Code.INTERNAL,
)  # fmt: skip
"""What any message can meet; the doc says so once."""

HTTP_ALONE = (Code.PATH_NOT_FOUND, Code.METHOD_NOT_ALLOWED)
"""What no WebSocket peer is ever told."""

HIVE_ALONE = (*hive.HTTP_STATUSES,)
"""What those meet who speak to the hive; it has a catalogue of its own."""

GROUPS: Mapping[str, tuple[Mapping[str, type[Message]], tuple[str, ...]]] = {
    **reference_subnet.GROUPS,
    "messages-both-to-server": (TO_SERVER, ("hello", "ack", "ping", "exit")),
    "messages-both-from-server": (
        FROM_SERVER,
        ("challenge", "welcome", "pong", "error", "exit", "complaint_ruled", "standing_changed"),
    ),
    "messages-client-to-server": (TO_SERVER, ("tlp", "task_status", "cancel", "list_tasks", "complaint")),
    "messages-client-from-server": (
        FROM_SERVER,
        (
            "tlp_accepted",
            "task_state",
            "task_cancelled",
            "task_list",
            "complaint_taken",
            "tlp_response",
            "task_failed",
            "progress",
        ),
    ),
    "messages-solver-to-server": (
        TO_SERVER,
        ("status_update", "accept", "progress", "tlp_response", "return", "checkpoint", "complaint_response"),
    ),
    "messages-solver-from-server": (
        FROM_SERVER,
        (
            "status_updated",
            "tlp_request",
            "accepted",
            "answer_taken",
            "returned",
            "assignment_ended",
            "checkpoint_taken",
            "checkpoint_offered",
            "complaint_raised",
            "complaint_heard",
        ),
    ),
}
OTHER_SETTINGS = (
    *reference_subnet.SETTINGS,
    "connections_max", "ipv6_prefix_bits", "plain_frames", "public_names",
    "deadline_slack", "deadline_ms_min", "deadline_ms_max", "deadline_ms_unknown",
    "restart_grace_ms", "complaint_ms", "complaint_response_ms", "complaints_rejected_window_ms", "idempotency_ms",
    "checks_waiting_max", "checks_waiting_per_key_max", "progress_ms_min", "drain_ms_max",
)  # fmt: skip
"""Settings that a peer can meet and `welcome` does not name."""


def _table(fields: Iterable[FieldSpec]) -> Iterator[str]:
    yield "| field | value | |"
    yield "|---|---|---|"
    for spec in fields:
        yield f"| `{spec.name}` | {spec.field.describe()} | {'may be absent' if spec.optional else 'needed'} |"


def _messages(reads: Mapping[str, type[Message]], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        cls = reads[name]
        kind = cls.SHAPE.kind
        answered = f", answered by `{REPLIES[name]}`" if kind is Kind.REQUEST else ""
        yield f"**`{name}`** ({kind.value}{answered}). {' '.join((cls.__doc__ or '').split())}"
        yield ""
        if cls.SHAPE.fields:
            yield from _table(cls.SHAPE.fields)
        else:
            yield "No fields."
        yield ""
        for spec in cls.SHAPE.fields:
            if isinstance(spec.field, Records):
                yield f"Each of `{spec.name}`: {' '.join((spec.field.kind.__doc__ or '').split())}"
                yield ""
                yield from _table(spec.field.kind.FIELDS)
                yield ""
        if reads is TO_SERVER and name in REFUSALS:
            yield f"Refused with {', '.join(f'`{code}`' for code in REFUSALS[name])}."
            yield ""


def _group(name: str) -> Callable[[], Iterator[str]]:
    return lambda: _messages(*GROUPS[name])


def errors() -> Iterator[str]:
    """The table of error codes."""
    yield "| code | again later? | meaning |"
    yield "|---|---|---|"
    for code, row in ERRORS.items():
        yield f"| `{code}` | {'yes' if row.retryable else 'no'} | {row.meaning} |"


def closes() -> Iterator[str]:
    """The table of this protocol's close codes."""
    yield "| close code | name | meaning |"
    yield "|---|---|---|"
    for close, meaning in CLOSES.items():
        yield f"| {int(close)} | {close.name} | {meaning} |"


IN_SECONDS = {"rate_limit_window", "ban_duration"}
"""The seed's names carry no unit."""


def _unit(name: str) -> str:
    if name in IN_SECONDS:
        return "s"
    words = name.split("_")
    return next((unit for unit in ("ms", "bytes", "bits", "squarings") if unit in words), "")


def _default(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value == () else str(value)


def _settings(names: Iterable[str]) -> Iterator[str]:
    yield "| limit | default | unit | meaning |"
    yield "|---|---|---|---|"
    for name in names:
        field = Settings.model_fields[name]
        yield f"| `{name}` | {_default(field.default)} | {_unit(name)} | {field.description} |"


def fixed_limits() -> Iterator[str]:
    """Limits that belong to the protocol itself."""
    yield "| fixed | value |"
    yield "|---|---|"
    yield f"| levels of nesting in a message, its own map included | {DEPTH_MAX} |"
    yield f"| bytes of a big natural | {MODULUS_BYTES_MAX:,} |"
    yield f"| levels of nesting in a JSON text | {JSON_DEPTH_MAX} |"
    yield f"| bytes of a completion | {subnet.COMPLETION_BYTES_MAX:,} |"
    yield f"| bytes of a task's metadata | {subnet.METADATA_BYTES_MAX:,} |"
    yield f"| bytes of prompt and completions in a push | {subnet.INLINE_BYTES_MAX:,} |"
    yield f"| largest plain integer | {INTEGER_MAX:,} (2^53 - 1) |"
    yield f"| frames sealed with one key | {sealing.FRAMES_MAX:,} (2^32) |"
    yield f"| bytes sealed with one key | {sealing.BYTES_MAX:,} (2^40) |"
    yield f"| seconds that one connection may last | {sealing.SECONDS_MAX:,} (24 h) |"


def _states(machine: Transitions) -> Iterator[str]:
    """The machine drawn (Mermaid, which forges and editors render), and as a table."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    direction LR"
    yield f"    [*] --> {machine.first}"
    for (state, event), after in machine.table.items():
        yield f"    {state} --> {after}: {event.replace('_', ' ')}"
    for state in sorted(machine.states - {state for state, _ in machine.table}):
        yield f"    {state} --> [*]"
    yield "```"
    yield ""
    yield "| from | by | to |"
    yield "|---|---|---|"
    for (state, event), after in machine.table.items():
        yield f"| `{state}` | {event.replace('_', ' ')} | `{after}` |"


def evidence() -> Iterator[str]:
    """The table of what moves a score."""
    yield "| evidence | good | bad |"
    yield "|---|---|---|"
    for reason, weight in WEIGHTS.items():
        yield f"| {reason.value} | {weight.good:g} | {weight.bad:g} |"


def _text(lines: Callable[[], Iterator[str]]) -> Callable[[], Iterator[str]]:
    def fenced() -> Iterator[str]:
        yield "```text"
        yield from lines()
        yield "```"

    return fenced


BLOCKS: Mapping[str, Callable[[], Iterator[str]]] = {
    **{name: _group(name) for name in GROUPS},
    "errors": errors,
    "closes": closes,
    "limits": lambda: _settings(LIMITS),
    "other-limits": lambda: _settings(OTHER_SETTINGS),
    "fixed-limits": fixed_limits,
    "task-states": lambda: _states(TASK),
    "assignment-states": lambda: _states(ASSIGNMENT),
    "complaint-states": lambda: _states(COMPLAINT),
    "subnet-task-states": lambda: _states(SUBNET_TASK),
    "evidence": evidence,
    "vectors-handshake": _text(vectors.handshake),
    "vectors-messages": _text(vectors.messages),
    "vectors-puzzles": _text(vectors.puzzles),
    "vectors-proofs": _text(vectors.proofs),
    **reference_hive.BLOCKS,
}


def block(name: str) -> str:
    """What stands between the two marks of one generated part."""
    return "\n" + "\n".join(BLOCKS[name]()).strip("\n") + "\n\n"


def regenerated(text: str) -> str:
    """The document with every generated part written anew."""
    return BLOCK.sub(lambda found: found[1] + block(found[2]) + found[4], text)
