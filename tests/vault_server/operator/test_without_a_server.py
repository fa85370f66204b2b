"""What the commands do with a database that no server runs on, and with files that are none."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.vault_server.operator.conftest import Operate
from tests.vault_server.systems.vault.harness import AGREED, COMPUTED, MODULUS, answer_to
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, C, D
from vault_server.keys import master_key_path
from vault_server.storage.schema import SCHEMA_VERSION

KEY = "ab" * 16

LOOKING = [["explain", "01"], ["solvers"], ["bans"], ["check"], ["keys", "status"]]
ORDERING = [["top", "--once"], ["tail"], ["ban", KEY], ["unban", KEY], ["keys", "rotate"]]


def tasks(database: Path, status: str) -> list[str]:
    with closing(sqlite3.connect(database)) as raw:
        return [name for (name,) in raw.execute("SELECT fingerprint FROM tasks WHERE status = ? ORDER BY 1", [status])]


def computed(database: Path) -> str:
    """The task whose answer was proved right; the other one that is answered was agreed on."""
    with closing(sqlite3.connect(database)) as raw:
        [(name,)] = raw.execute("SELECT fingerprint FROM tasks WHERE judged_by = 'computed'")
    return str(name)


def spoil(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as raw:
        raw.execute(statement)


@pytest.mark.parametrize("arguments", ORDERING, ids=lambda arguments: arguments[0])
def test_what_needs_a_server_is_refused_with_how_to_start_one(
    operate: Operate, told: Path, arguments: list[str]
) -> None:
    refused = operate(*arguments, "--database", told)
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert f"no server is running on {told}; start it: vault-server serve --database {told}" in refused.stderr


@pytest.mark.parametrize("arguments", [*LOOKING, *ORDERING], ids=lambda arguments: " ".join(arguments))
def test_every_command_refuses_what_is_no_database_of_ours(
    operate: Operate, tmp_path: Path, arguments: list[str]
) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Sir or Madam, " * 100)
    for path, says in [
        (tmp_path / "missing.db", "there is no database"),
        (tmp_path, "is no file"),
        (letter, "cannot be read as a database"),
    ]:
        refused = operate(*arguments, "--database", path)
        assert refused.exit_code == 2, refused.output
        assert says in refused.stderr
        assert str(path) in refused.stderr
        assert "--database" in refused.stderr
        assert refused.stdout == ""
    assert {path.name for path in tmp_path.iterdir()} == {"letter.txt"}


@pytest.mark.parametrize("arguments", [*LOOKING, *ORDERING], ids=lambda arguments: " ".join(arguments))
def test_every_command_refuses_another_schema_version(operate: Operate, told: Path, arguments: list[str]) -> None:
    spoil(told, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    refused = operate(*arguments, "--database", told)
    assert refused.exit_code == 2
    assert f"schema version {SCHEMA_VERSION + 1}, this program knows {SCHEMA_VERSION}" in refused.stderr


def test_the_database_can_come_from_the_environment(
    operate: Operate, told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (told.parent / "elsewhere").mkdir()
    monkeypatch.chdir(told.parent / "elsewhere")
    assert operate("solvers").exit_code == 2
    monkeypatch.setenv("VAULT_DATABASE", str(told))
    assert operate("solvers").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["tail", "file.log"],
        ["tail", "--level", "loud", "-"],
        ["tail", "--since", "-1"],
        ["ban", KEY, "--for", "soon"],
        ["ban"],
        ["explain"],
        ["frobnicate"],
    ],
)
def test_wrong_usage_is_told_apart(operate: Operate, told: Path, arguments: list[str]) -> None:
    assert operate(*arguments).exit_code == 2


# explain


def test_a_task_is_explained_as_text_and_as_json(operate: Operate, told: Path) -> None:
    answered = computed(told)
    explained = json.loads(operate("explain", answered, "--json").stdout)
    text = operate("explain", answered).stdout
    assert explained["task"] == answered
    assert explained["client"] == ANN.fingerprint
    for word in (answered, ANN.fingerprint, A.fingerprint, B.fingerprint, "rank 1 of 2", "valid", "released"):
        assert word in text
    for assignment in explained["assignments"]:
        assert f"Assignment {assignment['assignment']}, slot {assignment['slot']}" in text
    assert len(explained["timeline"]) == len([row for row in text.splitlines() if row.startswith("  22:13:2")])


def test_the_beginning_of_a_name_is_enough_and_too_little_lists_what_fits(operate: Operate, told: Path) -> None:
    names = sorted([*tasks(told, "answered"), *tasks(told, "assigned"), *tasks(told, "waiting")])
    several = operate("explain", names[0][:12])  # the time, which is the same for all
    assert several.exit_code == 1
    assert all(name in several.stderr for name in names)
    one = names[0]
    unique = next(one[:digits] for digits in range(1, 33) if sum(name.startswith(one[:digits]) for name in names) == 1)
    assert f"Task {one}" in operate("explain", unique).stdout
    assert f"Task {one}" in operate("explain", unique.upper()).stdout


@pytest.mark.parametrize("name", ["ff" * 16, "zz", "%", "'", "0" * 33])
def test_a_task_that_is_not_there(operate: Operate, told: Path, name: str) -> None:
    refused = operate("explain", name)
    assert refused.exit_code == 1
    assert "there is no task" in refused.stderr


def test_no_parameter_and_no_answer_is_shown(operate: Operate, told: Path) -> None:
    secrets = {MODULUS, answer_to(COMPUTED), answer_to(AGREED), WRONG, COMPUTED.t, AGREED.t}
    for task in [*tasks(told, "answered"), *tasks(told, "assigned")]:
        shown = operate("explain", task, "--json").stdout + operate("explain", task).stdout
        words = shown.replace(",", " ").replace('"', " ").split()
        assert not {form for secret in secrets for form in (str(secret), f"{secret:x}")} & set(words)


# solvers


def test_solvers_stand_in_order_of_their_standing(operate: Operate, told: Path) -> None:
    rows = json.loads(operate("solvers", "--json").stdout)
    assert {row["solver"] for row in rows} == {one.fingerprint for one in (A, B, C, D)}
    assert rows[0]["solver"] == A.fingerprint
    assert rows[0]["valid_answers"] == 2
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    text = operate("solvers").stdout.splitlines()
    assert [line.split()[0] for line in text[2:]] == [row["solver"] for row in rows]
    assert all(len(line) <= 80 for line in text)


# check


def test_a_sound_database(operate: Operate, told: Path) -> None:
    checked = operate("check")
    assert checked.exit_code == 0, checked.output
    assert checked.stdout.startswith("sound: ")
    document = json.loads(operate("check", "--json").stdout)
    names = [finding["invariant"] for finding in document["findings"]]
    assert "every tasks.parameter_t opens with a master key" in names
    assert document["not_looked_at"] == []


def test_what_is_broken_is_named(operate: Operate, told: Path) -> None:
    spoil(told, "UPDATE solvers SET in_hand = in_hand + 5")
    spoil(told, "INSERT INTO deadlines (name, subject, due) VALUES ('dance', 'x', 1)")
    checked = operate("check")
    assert checked.exit_code == 1
    assert "broken: solvers' counters are counts" in checked.stdout
    assert f"solver {A.fingerprint} has in_hand" in checked.stdout
    assert "1 deadlines are called 'dance', which leads to nothing" in checked.stdout
    assert checked.stdout.splitlines()[-1].startswith("broken: ")
    assert operate("check", "--json").exit_code == 1


def test_a_value_that_was_altered_does_not_open(operate: Operate, told: Path) -> None:
    task = computed(told)
    spoil(told, f"UPDATE tasks SET answer = parameter_t WHERE fingerprint = '{task}'")
    checked = operate("check")
    assert checked.exit_code == 1
    assert f"tasks.answer of {task} does not open" in checked.stdout


def test_without_its_key_all_else_is_checked_and_that_is_said(operate: Operate, told: Path) -> None:
    master_key_path(told).unlink()
    checked = operate("check")
    assert checked.exit_code == 0
    assert "not looked at: whether sealed values open" in checked.stdout
    assert not master_key_path(told).exists()


def test_a_wrong_key_is_a_finding(operate: Operate, told: Path) -> None:
    master_key_path(told).write_text("0" * 64)
    assert operate("check").exit_code == 1


def test_many_violations_of_one_kind_are_cut(operate: Operate, told: Path) -> None:
    with closing(sqlite3.connect(told, isolation_level=None)) as raw:
        for number in range(101):
            raw.execute("INSERT INTO deadlines VALUES ('expire_assignment', ?, 1)", [str(10_000 + number)])
    lines = operate("check").stdout.splitlines()
    assert lines.count("  … and more") == 1
    assert sum("waits to expire assignment" in line for line in lines) == 100


# tail


def test_a_log_is_read_from_standard_input(operate: Operate) -> None:
    log = b'{"event":"task.submitted","task":"01","level":"info"}\nnot json\n\n{"event":"solver.online"}\n'
    shown = operate("tail", "-", "--event", "task.*", stdin=log)
    assert shown.exit_code == 0
    first, second = shown.stdout.splitlines()
    assert first == '{"event":"task.submitted","task":"01","level":"info"}'
    assert json.loads(second) == {"event": "line.unreadable", "level": "warning", "line": "not json"}
