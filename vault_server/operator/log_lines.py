"""Log lines as an operator reads them: which of them, and how they look. What is no JSON is passed on, marked."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import orjson
import typer

from vault_server.operator.pages import SHORT

Line = Mapping[str, Any]

LEVELS = ("debug", "info", "warning", "error", "critical")
MARKS = {"warning": ("W", "yellow"), "error": ("E", "red"), "critical": ("E", "red")}
EVENT_WIDTH = 20
FIRST = ("task", "assignment", "solver", "client", "fingerprint", "endpoint", "code")
LAST = ("session",)
SHOWN_OTHERWISE = {"timestamp", "level", "event", "node", "exception"}
KEYS = ("fingerprint", "solver", "client")


@dataclass(frozen=True, slots=True)
class Filter:
    """What a line must have to be shown; beginnings of fingerprints are enough, and None asks for nothing."""

    task: str | None = None
    solver: str | None = None
    client: str | None = None
    fingerprint: str | None = None
    events: Sequence[str] = ()
    level: str = "debug"

    def takes(self, line: Line) -> bool:
        """Whether it is one of those that are asked for."""
        return (
            _rank(line.get("level")) >= _rank(self.level)
            and (not self.events or any(fnmatchcase(str(line.get("event")), glob) for glob in self.events))
            and _begins(self.task, line.get("task"))
            and _begins(self.solver, line.get("solver"), _at(line, "solver"))
            and _begins(self.client, line.get("client"), _at(line, "client"))
            and _begins(self.fingerprint, *(line.get(name) for name in KEYS))
        )


def _rank(level: object) -> int:
    return LEVELS.index(level) if isinstance(level, str) and level in LEVELS else len(LEVELS)


def _at(line: Line, endpoint: str) -> object:
    return line.get("fingerprint") if line.get("endpoint") == endpoint else None


def _begins(wanted: str | None, *values: object) -> bool:
    return wanted is None or any(isinstance(value, str) and value.startswith(wanted) for value in values)


def read(raw: bytes) -> Line | None:
    """One line, or None when it is no JSON object."""
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return line if isinstance(line, dict) else None


def as_json(raw: bytes, line: Line | None) -> str:
    """The line as it came; what is no JSON becomes an event of its own, so that the output stays JSON lines."""
    if line is None:
        line = {"event": "line.unreadable", "level": "warning", "line": raw.decode(errors="replace").rstrip("\n")}
        return orjson.dumps(line).decode()
    return raw.decode(errors="replace").rstrip("\n")


def pretty(width: int) -> Callable[[bytes, Line | None], str]:
    """Renders lines for a terminal of this width: time, level, event, fields; what does not fit is indented below."""
    nodes: set[str] = set()

    def render(raw: bytes, line: Line | None) -> str:
        if line is None:
            return typer.style(f"? {_printable(raw.decode(errors='replace').rstrip())}", dim=True)
        node = str(line.get("node", ""))
        nodes.add(node)
        fields = [_field(name, line[name]) for name in _order(line)]
        if len(nodes) > 1:
            fields.insert(0, f"node={_printable(node)}")
        return _layout(line, fields, width)

    return render


def _layout(line: Line, fields: Sequence[str], width: int) -> str:
    level = str(line.get("level", ""))
    mark, colour = MARKS.get(level, (" ", "cyan"))
    time = str(line.get("timestamp", ""))[11:23].ljust(12)
    event = _printable(str(line.get("event", ""))).ljust(EVENT_WIDTH if fields else 0)
    indent = len(time) + EVENT_WIDTH + 4
    wrapped = textwrap.wrap(
        " ".join(fields), max(20, width - indent), break_long_words=False, break_on_hyphens=False
    ) or [""]
    first = (
        f"{typer.style(_printable(time), dim=True)} {typer.style(f'{mark} {event}', fg=colour)} {wrapped[0]}".rstrip()
    )
    rest = [" " * indent + part for part in wrapped[1:]]
    trace = [f"    {_printable(part)}" for part in str(line.get("exception", "")).splitlines()]
    return "\n".join([first, *rest, *trace])


def _order(line: Line) -> list[str]:
    middle = [name for name in line if name not in (*FIRST, *LAST) and name not in SHOWN_OTHERWISE]
    return [*(name for name in FIRST if name in line), *middle, *(name for name in LAST if name in line)]


def _field(name: str, value: object) -> str:
    name = _printable(name)
    if isinstance(value, str):
        is_key = len(value) == 32 and all(digit in "0123456789abcdef" for digit in value)
        text = value[:SHORT] if is_key else _printable(value)
        return f"{name}={orjson.dumps(text).decode()}" if " " in text else f"{name}={text}"
    return f"{name}={_printable(orjson.dumps(value, default=str).decode())}"


def _printable(text: str) -> str:
    """What a log says can come from strangers: no line of theirs moves the operator's cursor."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
