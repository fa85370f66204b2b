"""What stands behind an answer, in plain words: who judged it, and whether this machine has checked that."""

from __future__ import annotations

from typing import Any

from vault_client.answers import Answer

AGREED = "two solvers gave it, and nothing proves it"


def describe_check(answer: Answer) -> str:
    """A sentence for whoever has waited for the answer."""
    took = f"{answer.check_seconds * 1_000:.1f} ms"
    match answer:
        case Answer(is_checked=True, judged_by="proof", proof=bytes() as proof):
            return f"The answer is proved: solver {answer.solver} sent {len(proof):,} bytes, checked here in {took}."
        case Answer(is_checked=True, judged_by="computed"):
            return f"The answer was computed again here, in {took}."
        case Answer(is_checked=True):
            return "The answer matches the commitment."
        case Answer(judged_by="agreed"):
            return f"warning: take this answer with care: {AGREED}."
    return "The answer was not checked here."


def judged(answer: Answer) -> str:
    """A few words for a list: the server's judgement, and what this machine knows of it."""
    if answer.is_checked:
        return f"{answer.judged_by}, checked here"
    return f"{answer.judged_by}, not checked here" + (f": {AGREED}" if answer.judged_by == "agreed" else "")


def judged_by(word: str | None) -> str:
    """The server's judgement alone."""
    match word:
        case None:
            return ""
        case "agreed":
            return f"judged by: agreed ({AGREED})"
    return f"judged by: {word}"


def answer_document(answer: Answer | None) -> dict[str, Any]:
    """What `--json` says of an answer."""
    return {
        "answer": None if answer is None else f"{answer.y:#x}",
        "judged_by": None if answer is None else answer.judged_by,
        "is_checked": None if answer is None else answer.is_checked,
        "solver": None if answer is None else answer.solver,
        "proof_bytes": None if answer is None or answer.proof is None else len(answer.proof),
    }
