"""The log's events are one list: what the code logs, what the list says, and what the operator reads."""

from __future__ import annotations

import ast

from tests.house.tree import ROOT
from vault_server.events import EVENTS

LOGGERS = {"debug", "info", "warning", "error", "exception"}


def logged() -> set[str]:
    """First words of every call of `logger.<level>`, `log` and `_log_refused` in the server."""
    names: set[str] = set()
    for path in (ROOT / "vault_server").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call):
                continue
            function = call.func
            is_logger = (
                isinstance(function, ast.Attribute)
                and function.attr in LOGGERS
                and isinstance(function.value, ast.Name)
                and function.value.id == "logger"
            )
            is_effect = isinstance(function, ast.Name) and function.id == "log"
            is_refusal = isinstance(function, ast.Attribute) and function.attr == "_log_refused"
            words = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            if (is_logger or is_effect or is_refusal) and words:
                names.add(words[0])
    return names


def test_the_code_logs_what_the_list_says() -> None:
    assert logged() == set(EVENTS)


def test_the_operator_reads_the_same_list() -> None:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in EVENTS.items()]
    [text] = (ROOT / "docs" / "operations.md").read_text().split("## The log\n")[1:]
    assert [line for line in text.splitlines() if line.startswith("| `")] == rows
