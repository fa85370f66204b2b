"""An answer's proof on its way from a real solver to whoever wants to check it, and what the commands say of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from protocol.puzzle import Puzzle, Ticket, commit, make_locked
from tests.processes import Server
from tests.vault_client.conftest import Client, Command
from tests.vault_client.lying_server import SOLVER, proof_of
from vault_client.errors import FileError
from vault_client.proof_file import PROOF_FILE_BYTES_MAX, ProofFile

SQUARINGS = 5_000
TASK = "ab" * 16

Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def made() -> tuple[Puzzle, int, Ticket]:
    return make_locked(SQUARINGS, 512)


@pytest.fixture
def client(tmp_path: Path, solved: Server) -> Iterator[Client]:
    made = Client(tmp_path, solved)
    yield made
    made.kill_all()


@pytest.fixture
def ask(client: Client, command: Command) -> Ask:
    """Run a command that asks the shared server, as this test's client."""

    def run(name: str, *arguments: object, code: int = 0) -> Result:
        result = command(name, *arguments, *client.options())
        assert result.exit_code == code, result.output
        return result

    return run


def numbers(puzzle: Puzzle) -> list[object]:
    return ["--t", puzzle.squarings, "--baseg", puzzle.base, "--product", puzzle.modulus]


@pytest.fixture
def saved(made: tuple[Puzzle, int, Ticket], tmp_path: Path) -> Path:
    """A proof file as `status --save-proof` writes it."""
    path = tmp_path / "task.proof"
    ProofFile(TASK, SOLVER, made[1], proof_of(made[0], TASK)).write(path)
    return path


def test_a_proof_goes_from_the_solver_to_a_third_party(ask: Ask, command: Command, tmp_path: Path) -> None:
    puzzle, y, _ = make_locked(SQUARINGS, 512)
    submitted = ask("submit", *numbers(puzzle), "--json")
    answered = json.loads(submitted.stdout)
    assert (answered["answer"], answered["judged_by"], answered["is_checked"]) == (f"{y:#x}", "proof", True)
    assert "The answer is proved: solver " in submitted.stderr
    told = ask("status", answered["task"], "--save-proof", "it.proof")
    assert "judged    proof, not checked here (--save-proof writes the proof, and `vault-client verify`" in told.stdout
    assert told.stderr == "Wrote the answer and its proof to it.proof.\n"
    assert (tmp_path / "it.proof").stat().st_mode & 0o777 == 0o600
    verified = command("verify", "it.proof", *numbers(puzzle))
    assert verified.exit_code == 0, verified.output
    assert "The proof holds" in verified.stdout
    assert f"{y:#x}" in verified.stdout
    document = json.loads(command("verify", "it.proof", *numbers(puzzle), "--json").stdout)
    assert document == {"holds": True, "task": answered["task"], "solver": answered["solver"], "answer": f"{y:#x}"}
    assert "exists already" in ask("status", answered["task"], "--save-proof", "it.proof", code=1).stderr
    (tmp_path / "it.proof").write_text("something else")
    ask("status", answered["task"], "--save-proof", "it.proof", "--force")
    assert command("verify", "it.proof", *numbers(puzzle)).exit_code == 0
    state = json.loads(ask("status", answered["task"], "--json").stdout)
    assert (state["is_checked"], state["solver"]) == (False, answered["solver"])
    assert state["proof_bytes"] == answered["proof_bytes"] > 0
    assert "judged by: proof, complain until" in ask("list").stdout


def test_a_commitment_that_the_answer_does_not_fit_is_told(ask: Ask) -> None:
    puzzle, y, _ = make_locked(SQUARINGS, 512)
    submitted = ask("submit", *numbers(puzzle), "--commitment", commit(y + 1, puzzle.modulus).hex())
    assert submitted.stdout == f"{y:#x}\n"
    assert "the answer is proved; the commitment given does not fit it." in submitted.stderr
    fitting = ask("submit", *numbers(puzzle), "--commitment", commit(y, puzzle.modulus).hex())
    assert "does not fit" not in fitting.stderr


def test_two_that_agree_are_told_apart_from_a_proof(ask: Ask) -> None:
    puzzle, y, _ = make_locked(SQUARINGS, 512)
    submitted = ask("submit", *numbers(puzzle), "--proof", "none", "--json")
    answered = json.loads(submitted.stdout)
    assert answered["answer"] == f"{y:#x}"
    assert (answered["judged_by"], answered["is_checked"]) == ("agreed", False)
    assert "two solvers gave it, and nothing proves it" in submitted.stderr
    assert "nothing proves it" in ask("status", answered["task"]).stdout
    assert "nothing proves it" in ask("list").stdout
    assert "has no proof to save" in ask("status", answered["task"], "--save-proof", "x", code=1).stderr
    ask("submit", *numbers(puzzle), "--proof", "perhaps", code=2)


def test_a_complaint_that_will_be_rejected_says_so_beforehand(ask: Ask) -> None:
    puzzle, _, _ = make_locked(SQUARINGS, 512)
    task = json.loads(ask("submit", *numbers(puzzle), "--json").stdout)["task"]
    said = ask("complain", task, "--wrong-answer", "--wait", code=3)
    assert said.stderr.index("the complaint will be rejected") < said.stderr.index("is taken")
    assert "came with a proof" in said.stderr
    assert said.stdout.startswith("Rejected: ")
    for kind, why in (("--late", "has its answer, and was promised for"), ("--no-answer", "has an answer")):
        said = ask("complain", task, kind, "--wait", code=3)
        assert said.stderr.index(why) < said.stderr.index("will be rejected") < said.stderr.index("is taken")


# verify


def test_what_is_not_proved_is_exit_code_5(
    command: Command, saved: Path, made: tuple[Puzzle, int, Ticket], tmp_path: Path
) -> None:
    puzzle, y, _ = made
    other = Puzzle(puzzle.squarings + 1, puzzle.base, puzzle.modulus)
    for words, reason in (
        ([saved, *numbers(other)], "does not hold"),
        ([saved, *numbers(puzzle), "--answer", puzzle.modulus - y], "another answer"),
        ([saved, *numbers(Puzzle(SQUARINGS, puzzle.base, puzzle.modulus + 2))], ""),
        ([saved, *numbers(Puzzle(60, puzzle.base, puzzle.modulus))], "the length"),
        ([saved, *numbers(Puzzle(SQUARINGS, puzzle.modulus + 3, puzzle.modulus))], "no proof can be trusted"),
    ):
        refused = command("verify", *words)
        assert refused.exit_code == 5, refused.output
        assert refused.stdout == ""
        assert reason in refused.stderr
    refused = command("verify", saved, *numbers(other), "--json")
    assert json.loads(refused.stderr)["code"] == "NOT_PROVED"
    assert command("verify", saved, *numbers(puzzle)).exit_code == 0


def test_another_task_or_solver_in_the_file_is_not_proved(
    command: Command, saved: Path, made: tuple[Puzzle, int, Ticket]
) -> None:
    document = json.loads(saved.read_text())
    for name in ("task", "solver"):
        saved.write_text(json.dumps(document | {name: "cd" * 16}))
        assert command("verify", saved, *numbers(made[0])).exit_code == 5


@pytest.mark.parametrize(
    "change",
    [
        {"format": "vault ticket"},
        {"version": "2"},
        {"task": "ab"},
        {"task": "AB" * 16},
        {"solver": None},
        {"answer": "0x5"},
        {"answer": ""},
        {"answer": "f" * 2_049},
        {"proof": "0"},
        {"proof": "\u0661\u0661"},
        {"proof": "00" * 46_082},
    ],
    ids=lambda change: " ".join(f"{name} {str(value)[:12]!a}" for name, value in change.items()),
)
def test_a_file_that_is_no_proof_is_refused(change: dict[str, object], saved: Path) -> None:
    saved.write_text(json.dumps(json.loads(saved.read_text()) | change))
    with pytest.raises(FileError, match="no vault proof of version 1"):
        ProofFile.read(saved)


def test_a_proof_file_holds_the_longest_answer_and_proof_and_no_more(tmp_path: Path) -> None:
    largest = ProofFile(TASK, SOLVER, 2**8_192 - 1, b"\1" * 46_081)
    largest.write(tmp_path / "x")
    assert ProofFile.read(tmp_path / "x") == largest
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes().ljust(PROOF_FILE_BYTES_MAX))
    assert ProofFile.read(tmp_path / "x") == largest
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes() + b" ")
    with pytest.raises(FileError, match="more than"):
        ProofFile.read(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"[" * 100_000)
    with pytest.raises(FileError, match="no vault proof"):
        ProofFile.read(tmp_path / "x")
    assert str(2**8_192 - 1) not in repr(largest)
