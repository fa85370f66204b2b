"""Tickets and resume files: bound to one locked file, whole or refused, readable by their owner alone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.puzzle import Puzzle, Ticket, blind, draw_blinding, make_modulus, unblind
from tests.vault_client.conftest import Sample
from vault_client.delegation import Delegation
from vault_client.errors import Damaged, FileError, TooNew, WrongFile
from vault_client.locked_file import LockedFile, lock_file
from vault_client.resume import Resume, read_resume, resume_path, write_resume
from vault_client.tickets import read_ticket, ticket_path, write_ticket

Change = Callable[[dict[str, Any]], object]


def edit(path: Path, change: Change, *, sign: bool = False) -> None:
    document = json.loads(path.read_text())
    change(document)
    if sign:
        document.pop("checksum", None)
        lines = "".join(f"{name}={document[name]}\n" for name in sorted(document))
        document["checksum"] = hashlib.sha256(lines.encode()).hexdigest()
    path.write_text(json.dumps(document))


@pytest.fixture
def ticket(sample: Sample, tmp_path: Path) -> Path:
    path = tmp_path / "letter.txt.ticket"
    write_ticket(path, sample.header, sample.ticket)
    return path


@pytest.fixture
def waiting(sample: Sample) -> Path:
    path = resume_path(sample.locked)
    write_resume(
        path, sample.header, Resume("ws://127.0.0.1:8765", "ab" * 16, "key", draw_blinding(sample.puzzle.modulus), None)
    )
    return path


def test_a_ticket_comes_back_and_is_private(ticket: Path, sample: Sample) -> None:
    assert read_ticket(ticket, sample.header) == sample.ticket
    assert ticket.stat().st_mode & 0o777 == 0o600


def test_the_documented_checksum_holds(ticket: Path, sample: Sample) -> None:
    edit(ticket, lambda document: document.update(note="of a newer writer"), sign=True)
    assert read_ticket(ticket, sample.header) == sample.ticket


@pytest.mark.parametrize(("locked", "ticket_name"), [("a.pdf.locked", "a.pdf.ticket"), ("vault", "vault.ticket")])
def test_a_ticket_lies_beside_its_file(locked: str, ticket_name: str) -> None:
    assert ticket_path(Path("x") / locked) == Path("x") / ticket_name


def test_a_ticket_of_another_file_is_refused(ticket: Path, sample: Sample, tmp_path: Path) -> None:
    other = lock_file(sample.plain, tmp_path / "other.locked", sample.puzzle, sample.answer)
    with pytest.raises(WrongFile, match="another locked file"):
        read_ticket(ticket, other)


DAMAGES: dict[str, Change] = {
    "a digit": lambda d: d.update(base_root=("1" if d["base_root"][0] != "1" else "2") + d["base_root"][1:]),
    "a member missing": lambda d: d.pop("base_root"),
    "a member added": lambda d: d.update(more="x"),
    "no checksum": lambda d: d.pop("checksum"),
    "a number for a string": lambda d: d.update(base_root=5),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_ticket_is_refused(damage: Change, ticket: Path, sample: Sample) -> None:
    edit(ticket, damage)
    with pytest.raises(Damaged):
        read_ticket(ticket, sample.header)


@pytest.mark.parametrize("value", ["", "0", "1", "-5", "0x12", "GG", "f" * 200])
def test_a_number_that_is_no_residue_is_refused(value: str, ticket: Path, sample: Sample) -> None:
    edit(ticket, lambda document: document.update(base_root=value), sign=True)
    with pytest.raises(Damaged):
        read_ticket(ticket, sample.header)


@pytest.mark.parametrize("kept", [0, 1, 40, -3])
def test_a_truncated_ticket_is_refused(kept: int, ticket: Path, sample: Sample) -> None:
    ticket.write_bytes(ticket.read_bytes()[:kept])
    with pytest.raises(FileError):
        read_ticket(ticket, sample.header)


def test_what_is_no_ticket_is_refused_as_such(waiting: Path, sample: Sample) -> None:
    with pytest.raises(FileError, match="is no vault ticket"):
        read_ticket(waiting, sample.header)


def test_a_newer_ticket_is_refused_as_such(ticket: Path, sample: Sample) -> None:
    edit(ticket, lambda document: document.update(version="2", base_root="in another form"))
    with pytest.raises(TooNew, match="version 2"):
        read_ticket(ticket, sample.header)


def test_a_huge_file_is_no_ticket(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.write_bytes(b"[" * 100_000)
    path.chmod(0o600)
    with pytest.raises(FileError, match="more than"):
        read_ticket(path, sample.header)


def test_deep_json_is_damage_and_not_a_crash(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "deep"
    path.write_bytes(b"[" * 60_000)
    path.chmod(0o600)
    with pytest.raises(Damaged):
        read_ticket(path, sample.header)


@pytest.mark.parametrize("blinding", [None, 2**600, 2**639])
@pytest.mark.parametrize("task", [None, "cd" * 16])
def test_a_wait_comes_back_and_is_private(blinding: int | None, task: str | None, sample: Sample) -> None:
    path = resume_path(sample.locked)
    resume = Resume("wss://vault.example", "ab" * 16, "key", blinding, task)
    write_resume(path, sample.header, resume)
    write_resume(path, sample.header, replace(resume, idempotency_key="newer"))
    assert read_resume(path, sample.header) == replace(resume, idempotency_key="newer")
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_wait_is_none(sample: Sample) -> None:
    assert read_resume(resume_path(sample.locked), sample.header) is None


@pytest.mark.parametrize("missing", ["server", "client", "idempotency_key"])
def test_a_wait_that_lacks_something_is_damaged(missing: str, waiting: Path, sample: Sample) -> None:
    edit(waiting, lambda document: document.pop(missing), sign=True)
    with pytest.raises(Damaged):
        read_resume(waiting, sample.header)


def test_a_wait_for_another_file_is_refused(waiting: Path, sample: Sample, tmp_path: Path) -> None:
    other = lock_file(sample.plain, tmp_path / "other.locked", sample.puzzle, sample.answer)
    with pytest.raises(WrongFile):
        read_resume(waiting, other)


def test_secrets_do_not_show_in_a_repr(sample: Sample) -> None:
    assert "12345" not in repr(Resume("ws://h:1", "ab" * 16, "key", 12_345))
    assert str(sample.ticket.base_root) not in repr(sample.ticket)


def test_a_blinded_puzzle_tells_nothing_of_the_base_and_its_answer_is_turned_back(sample: Sample) -> None:
    blindings = [draw_blinding(sample.puzzle.modulus) for _ in range(20)]
    blinded = [blind(sample.puzzle, sample.ticket, a) for a in blindings]
    assert len({puzzle.base for puzzle in blinded} | {sample.puzzle.base}) == 21
    for a, puzzle in zip(blindings, blinded, strict=True):
        answer = pow(puzzle.base, 2**puzzle.squarings, puzzle.modulus)
        assert answer != sample.answer
        assert unblind(answer, sample.puzzle, sample.ticket, a) == sample.answer


def test_another_user_could_not_read_them_at_any_time(sample: Sample, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_ticket(tmp_path / "t", sample.header, sample.ticket)
    finally:
        os.umask(before)
    assert (tmp_path / "t").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("root", ["0", "1", "N-1", "N", "a factor"])
def test_a_root_that_hides_nothing_is_refused(root: str, tmp_path: Path) -> None:
    modulus, trapdoor = make_modulus(512)
    (tmp_path / "plain").write_bytes(b"letter")
    puzzle = Puzzle(40, 5, modulus)
    header = lock_file(tmp_path / "plain", tmp_path / "x.locked", puzzle, trapdoor.power(5, 40))
    value = {"0": 0, "1": 1, "N-1": modulus - 1, "N": modulus, "a factor": trapdoor.p}[root]
    write_ticket(tmp_path / "t", header, Ticket(value, 1))
    with pytest.raises(Damaged):
        read_ticket(tmp_path / "t", header)


@pytest.mark.parametrize("planted", [0, 1, 5, 2**512, 2**574])
def test_a_planted_blinding_is_refused(planted: int, sample: Sample) -> None:
    path = resume_path(sample.locked)
    write_resume(path, sample.header, Resume("ws://h:1", "ab" * 16, "key", planted))
    with pytest.raises(Damaged):
        read_resume(path, sample.header)


@pytest.mark.parametrize("forged", ["root", "blinding"])
def test_the_bare_base_is_never_sent(forged: str, sample: Sample) -> None:
    n = sample.puzzle.modulus
    ticket = Ticket(n - 1, n - 1) if forged == "root" else sample.ticket
    resume = Resume("ws://h:1", "ab" * 16, "k", 0 if forged == "blinding" else 2 * draw_blinding(n))
    locked = LockedFile.examine(sample.locked)
    wait = Delegation(locked, ticket, "ws://h:1", "ab" * 16, lambda _: None, None)
    with pytest.raises(FileError, match="nothing was sent"):
        wait._published(resume)


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o604, 0o660])
def test_what_others_can_read_or_write_is_refused_with_the_remedy(
    mode: int, ticket: Path, waiting: Path, sample: Sample
) -> None:
    for path, read in ((ticket, read_ticket), (waiting, read_resume)):
        path.chmod(mode)
        with pytest.raises(FileError, match="chmod 600"):
            read(path, sample.header)


@pytest.mark.parametrize("name", ["server", "client", "task", "version"])
def test_a_planted_wait_shows_no_escape_sequence(name: str, waiting: Path, sample: Sample) -> None:
    edit(waiting, lambda document: document.update({name: "ws://h\x1b]0;x\x07"}), sign=True)
    with pytest.raises(Damaged) as caught:
        read_resume(waiting, sample.header)
    assert "\x1b" not in str(caught.value)
