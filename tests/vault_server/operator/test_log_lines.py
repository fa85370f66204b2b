"""Which log lines are shown, and how."""

from __future__ import annotations

import json

import pytest

from vault_server.operator.log_lines import Filter, as_json, pretty, read

TASK, KEY, OTHER = "01" * 16, "ab" * 16, "cd" * 16


def line(event: str = "task.assigned", level: str = "info", **fields: object) -> dict[str, object]:
    return {**fields, "event": event, "level": level, "node": "n", "timestamp": "2026-11-21T13:50:02.123456+00:00"}


@pytest.mark.parametrize(
    ("wanted", "shown", "fields"),
    [
        (Filter(), True, {}),
        (Filter(task="0101"), True, {"task": TASK}),
        (Filter(task="0102"), False, {"task": TASK}),
        (Filter(task="01"), False, {}),
        (Filter(solver="ab"), True, {"solver": KEY}),
        (Filter(solver="ab"), True, {"fingerprint": KEY, "endpoint": "solver"}),
        (Filter(solver="ab"), False, {"fingerprint": KEY, "endpoint": "client"}),
        (Filter(solver="ab"), False, {"client": KEY}),
        (Filter(client="ab"), True, {"client": KEY}),
        (Filter(client="ab"), True, {"fingerprint": KEY, "endpoint": "client"}),
        (Filter(client="ab"), False, {"solver": KEY, "client": OTHER}),
        (Filter(fingerprint="ab"), True, {"solver": KEY}),
        (Filter(fingerprint="ab"), True, {"client": KEY}),
        (Filter(fingerprint="ab"), True, {"fingerprint": KEY}),
        (Filter(fingerprint="01"), False, {"task": TASK}),
        (Filter(events=["task.*"]), True, {}),
        (Filter(events=["solver.*", "*.assigned"]), True, {}),
        (Filter(events=["solver.*"]), False, {}),
        (Filter(task="01", solver="cd"), False, {"task": TASK, "solver": KEY}),
        (Filter(level="info"), True, {}),
        (Filter(level="warning"), False, {}),
        (Filter(level="warning"), True, {"level": "error"}),
        (Filter(level="error"), True, {"level": "of a kind nobody knows"}),
    ],
)
def test_a_filter_takes_what_it_asks_for(wanted: Filter, shown: bool, fields: dict[str, object]) -> None:
    assert wanted.takes({**line(), **fields}) is shown


@pytest.mark.parametrize("raw", [b"hello\n", b"[1]\n", b'"x"\n', b"\xff\xfe\n", b'{"event": \n', b"5"])
def test_what_is_no_json_object_is_passed_on_marked(raw: bytes) -> None:
    assert read(raw) is None
    assert plain(pretty(80)(raw, None)).startswith("? ")
    marked = json.loads(as_json(raw, None))
    assert marked["event"] == "line.unreadable"
    assert marked["line"] == raw.decode(errors="replace").rstrip("\n")


def test_json_lines_stay_as_they_came() -> None:
    raw = b'{"b": 1,  "a": 2}\n'
    assert as_json(raw, read(raw)) == '{"b": 1,  "a": 2}'


def plain(text: str) -> str:
    for code in ("\x1b[0m", "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[36m"):
        text = text.replace(code, "")
    return text


def test_a_line_is_time_event_and_fields_those_that_name_something_first() -> None:
    shown = plain(pretty(200)(b"", line(rank=1, session="s", solver=KEY, task=TASK)))
    fields = f"task={TASK[:16]} solver={KEY[:16]} rank=1 session=s"
    assert shown == f"13:50:02.123   {'task.assigned':20} {fields}"


def test_warnings_and_errors_are_marked_without_colour_too() -> None:
    assert plain(pretty(80)(b"", line("push.failed", "error"))) == "13:50:02.123 E push.failed"
    assert plain(pretty(80)(b"", line("log.dropped", "warning", lines=3))).startswith("13:50:02.123 W log.dropped")


def test_what_does_not_fit_is_indented_below() -> None:
    rows = plain(pretty(80)(b"", line(task=TASK, solver=KEY, client=OTHER, reason="because of this"))).splitlines()
    assert len(rows) > 1
    assert all(len(row) <= 80 for row in rows)
    assert all(row.startswith(" " * 36) and row[36] != " " for row in rows[1:])


def test_a_traceback_stands_below_and_nodes_are_named_once_there_are_two() -> None:
    render = pretty(200)
    failed = {**line("pump.failed", "error"), "exception": "Traceback\n  File x"}
    assert plain(render(b"", failed)).splitlines()[1:] == ["    Traceback", "      File x"]
    assert "node=" not in render(b"", line())
    assert "node=other" in render(b"", {**line(), "node": "other"})


def test_no_text_of_a_stranger_moves_the_cursor() -> None:
    evil = "\x1b[2J\x07\r\n\u202e"
    shown = plain(
        pretty(200)(b"", {**line(event=f"e{evil}", agent=evil, x=[evil]), "node": evil, "timestamp": evil * 9})
    )
    assert shown.isprintable()
    assert plain(pretty(200)(b"", line() | {f"n{evil}": "text", evil: 1})).isprintable()
    assert plain(pretty(200)(f"no json {evil}".encode(), None)).isprintable()
