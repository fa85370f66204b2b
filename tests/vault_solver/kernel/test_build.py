"""The build compiles the kernel where it can, leaves it out where it cannot, and says so."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hatch_build
from hatch_build import LIBRARY, LeftOut, compile_kernel
from tests.house.tree import copy_to
from vault_solver.kernel.library import PATH

KERNEL = PATH.parent


def build(source: Path, out: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CC", "CFLAGS", "VAULT_KERNEL_BUILD"):
        monkeypatch.delenv(name, raising=False)


def test_a_wheel_without_a_compiler_is_for_every_machine_and_says_what_it_lacks(tmp_path: Path) -> None:
    source = copy_to(tmp_path / "source")
    done = build(source, tmp_path / "dist", CC="/nowhere/cc")
    assert done.returncode == 0, done.stderr
    assert "The compiled kernel is left out: the compiler does not run" in done.stdout + done.stderr
    [wheel] = (tmp_path / "dist").iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((LIBRARY, ".c", ".h"))]


def test_a_required_kernel_that_cannot_be_compiled_fails_the_build(tmp_path: Path) -> None:
    source = copy_to(tmp_path / "source")
    done = build(source, tmp_path / "dist", CC="/nowhere/cc", VAULT_KERNEL_BUILD="required")
    assert done.returncode != 0
    assert "the compiler does not run" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"VAULT_KERNEL_BUILD": "no"}, "VAULT_KERNEL_BUILD says no"),
        ({"CC": "/nowhere/cc"}, "the compiler does not run"),
        ({"CC": "false"}, "it does not compile"),
    ],
    ids=["unwanted", "no compiler", "failing compiler"],
)
def test_why_it_was_left_out(
    settings: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LeftOut, match=reason):
        compile_kernel(KERNEL, tmp_path / LIBRARY)


def test_other_processors_and_machines_without_any_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LeftOut, match="there is no C compiler"):
        hatch_build.compiler()
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(LeftOut, match="there is none for riscv64"):
        compile_kernel(KERNEL, tmp_path / LIBRARY)
