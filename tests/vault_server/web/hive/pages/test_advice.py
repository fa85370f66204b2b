"""Every refusal of the hive's operations, as pages tell it: in people's words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import vault_server.systems.hive
from protocol.errors import Code, MessageError
from vault_server.web.hive.pages import advice

OPERATIONS = Path(vault_server.systems.hive.__file__).parent
OF_THE_API = re.compile(r"[a-z]+_[a-z]+|GET /|POST /|API|Field '")


def words(node: ast.expr) -> str:
    """A text as it could be said: what is put into it is a number."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    assert isinstance(node, ast.JoinedStr), ast.unparse(node)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values)


def refusals() -> Iterator[MessageError]:
    for path in sorted(OPERATIONS.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            texts = [arg for arg in node.args if isinstance(arg, ast.Constant | ast.JoinedStr)]
            if name == "Refusal" and len(texts) == 2 and isinstance(node.args[0], ast.Attribute):
                yield MessageError(Code[node.args[0].attr], words(texts[0]), words(texts[1]))
            elif name.endswith("forbidden") and len(texts) == 2:
                yield MessageError(Code.FORBIDDEN, words(texts[0]), words(texts[1]))
            elif name.endswith("check_status"):
                yield MessageError(Code.INVALID_STATUS, "Task 7 is open.", words(texts[-1]))


REFUSALS = list(refusals())
OF_AGENTS = ("proposed_credits", "Field 'claims'")
"""What only agents can be told: pages have no form for it."""


def test_they_are_found() -> None:
    assert len(REFUSALS) > 35


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.message)
def test_pages_say_it_in_people_s_words(refusal: MessageError) -> None:
    told = advice.for_people(refusal)
    assert told.code is refusal.code
    assert not OF_THE_API.search(told.suggestion)
    assert refusal.message.startswith(OF_AGENTS) or not OF_THE_API.search(told.message)
    assert told.suggestion[0].isupper()
    assert told.suggestion.endswith(".")


def test_what_speaks_to_people_already_stays() -> None:
    refusal = MessageError(Code.DUPLICATE_REVIEW, "Task 7 has its review.", "A task has one review.")
    told = advice.for_people(refusal)
    assert (told.message, told.suggestion) == (refusal.message, refusal.suggestion)


def test_how_long_to_wait_is_kept() -> None:
    refusal = MessageError(Code.RATE_LIMITED, "Too many.", "Wait (hive_requests_max).", retry_after_ms=900)
    assert advice.for_people(refusal).retry_after_ms == 900
