"""What must never be in the tree, and what a fresh clone relies on."""

from __future__ import annotations

import os
import re
import tomllib

from packaging.requirements import Requirement
from packaging.version import Version

from tests.house.tree import ROOT, files

# Written so that this file does not hold what it looks for.
FOREIGN = re.compile(
    "|".join(["/work" + "/", "/root" + "/", "/tmp/bash" + "_jobs", "pypi" + r"\.org", "python" + "hosted"])
)
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)(?: ;[^\\]*)? \\$", re.MULTILINE)


def lock() -> str:
    return (ROOT / "requirements.lock").read_text()


def name_of(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", requirement).lower()


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name in files()
        for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1)
        if FOREIGN.search(line)
    ]
    assert not found, "\n".join(found)


def test_no_lock_file_with_hosts_is_in_the_tree() -> None:
    assert not {"uv.lock", "pylock.toml", "poetry.lock"} & {name.name for name in files()}


def test_every_pin_of_the_lock_file_has_hashes_and_names_no_host() -> None:
    text = lock()
    assert not re.search(r"https?:|file:|git\+|--index|--extra|--find|@ ", text)
    entries = [entry for entry in re.split(r"\n(?=[A-Za-z0-9])", text) if not entry.startswith("#")]
    assert len(entries) > 30
    for entry in entries:
        assert PIN.match(entry), entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]


def test_the_pins_satisfy_pyproject_and_cover_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pins = {name_of(name): Version(version) for name, version in PIN.findall(lock())}
    groups = project["project"]["optional-dependencies"].values()
    wanted = [*project["project"]["dependencies"], *(line for group in groups for line in group)]
    wanted += project["build-system"]["requires"]
    for requirement in map(Requirement, wanted):
        assert name_of(requirement.name) in pins, f"{requirement.name} is not in requirements.lock"
        assert pins[name_of(requirement.name)] in requirement.specifier, f"the pin of {requirement}"


def test_ci_runs_the_readmes_test_command_and_gets_a_browser_at_most() -> None:
    script = ROOT / ".ci" / "run"
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "set -eu"
    assert lines[-1] == 'exec "$(dirname -- "$0")/../scripts/test"'
    assert [line for line in lines[1:-1] if "chromium" not in line and "DEBIAN_FRONTEND" not in line] == ["fi"]
    assert "scripts/test" in (ROOT / "README.md").read_text()


def test_every_script_can_be_run() -> None:
    commands = [name for name in files() if name.parts[0] in ("scripts", ".ci") and not name.suffix]
    assert {name.name for name in commands} >= {"demo", "test", "run"}
    assert [name for name in commands if not os.access(ROOT / name, os.X_OK)] == []
