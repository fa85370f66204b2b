"""The build's own step: compiles the solver's kernel where a C compiler is there, and leaves it out where none is.

Never fails for want of a compiler: everything works without the kernel, more slowly. `VAULT_KERNEL_BUILD=no` leaves it
out, `VAULT_KERNEL_BUILD=required` fails instead of leaving it out; CC and CFLAGS mean what they always do.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

KERNEL = Path("vault_solver", "kernel")
SOURCES = ("kernel.c", "ifma.c")
LIBRARY = "vault_kernel.so"
FLAGS = ("-std=c11", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra")
PROCESSORS = ("x86_64", "AMD64")
COMPILE_SECONDS_MAX = 300


class LeftOut(Exception):
    """There will be no kernel; the message says why."""


class CustomBuildHook(BuildHookInterface[Any]):
    """Called by hatchling for each wheel, an editable one too; a source distribution has the sources alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the library into the wheel, which then is for one platform; for an editable install, into the tree."""
        kernel = Path(self.root, KERNEL)
        in_tree = version == "editable"
        self._folder = tempfile.mkdtemp(prefix=".build-", dir=kernel if in_tree else None)
        built = Path(self._folder, LIBRARY)
        try:
            compile_kernel(kernel, built)
        except LeftOut as reason:
            self._leave_out(reason, kernel / LIBRARY if in_tree else None)
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"
        if in_tree:
            built.replace(kernel / LIBRARY)  # at once: a solver may be starting from this tree
        else:
            build_data["force_include"][str(built)] = str(KERNEL / LIBRARY)

    def finalize(self, *_: object) -> None:
        """Remove what the build needed."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _leave_out(self, reason: LeftOut, stale: Path | None) -> None:
        if os.environ.get("VAULT_KERNEL_BUILD") == "required":
            self.finalize()
            raise reason
        if stale is not None:
            stale.unlink(missing_ok=True)
        self.app.display_warning(f"The compiled kernel is left out: {reason}. The solver will use gmpy2.")


def compile_kernel(kernel: Path, target: Path) -> None:
    """Raises LeftOut."""
    if os.environ.get("VAULT_KERNEL_BUILD") == "no":
        raise LeftOut("VAULT_KERNEL_BUILD says no")
    if platform.machine() not in PROCESSORS:
        raise LeftOut(f"there is none for {platform.machine()}")
    command = [*compiler(), *FLAGS, *shlex.split(os.environ.get("CFLAGS", "")), "-o", str(target)]
    sources = [str(kernel / source) for source in SOURCES]
    try:
        done = subprocess.run(
            [*command, *sources], capture_output=True, text=True, timeout=COMPILE_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LeftOut(f"the compiler does not run ({error})") from None
    if done.returncode != 0:
        raise LeftOut(f"it does not compile\n{done.stderr[-2000:]}")


def compiler() -> list[str]:
    """CC if it is set, else what Python was built with, else what systems call it. Raises LeftOut."""
    if chosen := os.environ.get("CC"):
        return shlex.split(chosen)
    for command in (shlex.split(sysconfig.get_config_var("CC") or ""), ["cc"], ["gcc"], ["clang"]):
        if command and shutil.which(command[0]):
            return command
    raise LeftOut("there is no C compiler")


def platform_tag() -> str:
    """Of this system alone: whether the library runs on older ones too, nobody has checked (manylinux would say so)."""
    return next(tag for tag in platform_tags() if not tag.startswith(("manylinux", "musllinux")))
