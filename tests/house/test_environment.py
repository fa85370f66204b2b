"""The set-up that scripts/test, demo and bench share: it makes `.venv` wherever a clone lies, once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT, copy_to

MAKING = "making .venv"
READY = ".venv is ready"
WITHOUT_UV = "uv could not; trying again without it"
SETUP_SECONDS_MAX = 240


def run(script: Path, *arguments: str, path: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script of a clone from another directory, without the variables of the environment these tests run in."""
    left_out = ("VIRTUAL_ENV", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if name not in left_out} | variables
    environment["PATH"] = path or without_this_venv(environment["PATH"])
    return subprocess.run(
        [script, *arguments], cwd="/", env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SETUP_SECONDS_MAX, check=False,
    )  # fmt: skip


def without_this_venv(path: str) -> str:
    return os.pathsep.join(part for part in path.split(os.pathsep) if not part.startswith(sys.prefix))


def only(folder: Path, **programs: Path | str) -> str:
    """A PATH with these programs alone (and the shell's own needs)."""
    folder.mkdir()
    for name in ("bash", "dirname", "env"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    for name, program in programs.items():
        if isinstance(program, Path):
            (folder / name).symlink_to(program)
        else:
            (folder / name).write_text(program)
            (folder / name).chmod(0o755)
    return str(folder)


def lock_of(*names: str) -> str:
    """The lock file cut down to a few packages, for runs that are about the set-up and not about the packages."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / "requirements.lock").read_text())
    return "\n".join(entry for entry in entries if entry.split("==")[0] in names) + "\n"


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A clone whose path has a space; its `.venv` is large, so it does not outlive the test."""
    folder = copy_to(tmp_path / "a clone" / "of it")
    yield folder
    shutil.rmtree(folder.parent, ignore_errors=True)


def test_a_fresh_clone_with_a_space_in_its_path_sets_itself_up_once(clone: Path) -> None:
    first = run(clone / "scripts" / "test", "--version")
    assert first.returncode == 0, first.stderr
    assert MAKING in first.stderr
    assert READY in first.stderr
    said = [line for line in first.stderr.splitlines() if line != WITHOUT_UV]  # where only pip reaches the packages
    assert len(said) == 2
    assert "pytest" in first.stdout

    again = run(clone / "scripts" / "test", "--version")
    assert (again.returncode, again.stderr) == (0, "")

    for program in ("vault-server", "vault-client", "vault-solver"):
        shown = subprocess.run([clone / ".venv" / "bin" / program, "--help"], cwd="/", capture_output=True, check=False)
        assert shown.returncode == 0, shown.stderr


BUILD = ("editables", "hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")
SMALL = ("pytest", "iniconfig", "pygments", *BUILD)


@pytest.fixture
def small_clone(clone: Path) -> Path:
    """A clone that locks only what building the project needs and one more: its set-up takes seconds with pip too."""
    (clone / "requirements.lock").write_text(lock_of(*SMALL))
    return clone


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH where Python and the locked uv are, and no compiler."""
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    return only(tmp_path / "bin", python3=Path(sys.executable).resolve(), uv=uv)


@pytest.fixture
def path_without_uv(tmp_path: Path) -> str:
    """A PATH where Python is, and uv is not."""
    return only(tmp_path / "bin without uv", python3=Path(sys.executable).resolve())


def test_without_uv_pip_fetches_it_and_goes_on_where_it_fails(clone: Path, path_without_uv: str) -> None:
    (clone / "requirements.lock").write_text(lock_of("uv", *SMALL))
    made = run(clone / "scripts" / "test", "--version", path=path_without_uv, UV_OFFLINE="1", UV_NO_CACHE="1")
    assert made.returncode == 0, made.stderr
    assert "and pip from" in made.stderr
    assert WITHOUT_UV in made.stderr


def test_where_uv_fails_pip_makes_a_half_made_environment_again(small_clone: Path, path_without_uv: str) -> None:
    (small_clone / ".venv" / "bin").mkdir(parents=True)  # as after a run that was cut short
    (small_clone / ".venv" / "bin" / "left over").touch()
    failing_uv = Path(path_without_uv) / "uv"
    failing_uv.write_text('#!/bin/sh\n[ "$1" = --version ]\n')
    failing_uv.chmod(0o755)
    made = run(small_clone / "scripts" / "test", "--version", path=path_without_uv)
    assert made.returncode == 0, made.stderr
    assert WITHOUT_UV in made.stderr
    assert not (small_clone / ".venv" / "bin" / "left over").exists()


def test_a_moved_clone_and_a_changed_project_are_noticed(small_clone: Path, path: str) -> None:
    assert run(small_clone / "scripts" / "test", "--version", path=path).returncode == 0
    with (small_clone / "pyproject.toml").open("a") as project:
        project.write("\n# another line\n")
    changed = run(small_clone / "scripts" / "test", "--version", path=path)
    assert (changed.returncode, MAKING in changed.stderr, READY in changed.stderr) == (0, False, True)

    moved = small_clone.rename(small_clone.with_name("elsewhere"))
    after = run(moved / "scripts" / "test", "--version", path=path)
    assert (after.returncode, MAKING in after.stderr) == (0, True)


def test_two_runs_at_once_make_one_environment(small_clone: Path, path: str) -> None:
    command: list[str | Path] = [small_clone / "scripts" / "test", "--version"]
    environment = os.environ | {"PATH": path}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=SETUP_SECONDS_MAX) for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert sum(MAKING in errors for _, errors in printed) == 1


@pytest.mark.parametrize("tool", ["path", "path_without_uv"])
def test_a_package_that_is_not_the_locked_one_is_refused(
    small_clone: Path, tool: str, request: pytest.FixtureRequest
) -> None:
    text = (small_clone / "requirements.lock").read_text()
    (small_clone / "requirements.lock").write_text(re.sub("sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, text))
    refused = run(small_clone / "scripts" / "test", "--version", path=request.getfixturevalue(tool))
    assert refused.returncode == 1
    assert "requirements.lock names; do not use it" in refused.stderr
    assert not (small_clone / ".venv" / "packages.stamp").exists()


def test_without_a_fitting_python_it_says_which_it_found(clone: Path, tmp_path: Path) -> None:
    old = only(tmp_path / "old", python3="#!/bin/sh\necho 3.9\n")
    refused = run(clone / "scripts" / "test", "--version", path=old)
    assert refused.returncode == 1
    assert "this needs Python 3.11, 3.12 or 3.13; found: python3 is 3.9;" in refused.stderr
    none = run(clone / "scripts" / "test", "--version", path=only(tmp_path / "none"))
    assert "found: no python3 at all" in none.stderr
    assert not (clone / ".venv").exists()
