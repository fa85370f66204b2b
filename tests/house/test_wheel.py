"""A wheel that is built from this tree's source distribution and installed elsewhere serves and solves: schema.sql, the
solver's kernel and the rest travel in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from protocol.identity import Identity
from tests.dialling import dial
from tests.house.tree import copy_to
from tests.processes import LoggingProcess, Server
from tests.vault_server.web.http import request, say

CHOSEN = """
from vault_solver import kernel
print(kernel.choose().arithmetic.square(3, 100, 2**600 + 1), kernel.available()[-1])
from vault_solver.kernel.library import Library
print(Library().supported, kernel.available()[0])
"""


class InstalledServer(Server):
    """A server that is started by the console script of another environment."""

    def __init__(self, folder: Path, programs: Path) -> None:
        super().__init__(folder, {})
        self.interpreter = programs / "python"

    def command(self) -> Sequence[str | Path]:
        return [self.interpreter.parent / "vault-server", *super().command()[2:]]


def call(*command: object, cwd: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def install_elsewhere(wheel: Path, folder: Path) -> Path:
    """A fresh environment that holds the wheel; returns its folder of programs.

    Its dependencies are those of the environment these tests run in, by a .pth line, not a second download: this shows
    what the wheel carries, not that pyproject.toml names every dependency. The project itself is not visible that way:
    an editable install hangs on a .pth file of its own, and those are not read in folders that a .pth line adds.
    """
    call(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    programs = folder / "bin"
    call(programs / "python", "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=folder.parent)
    [site] = (folder / "lib").glob("python3*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


async def test_the_wheel_installed_elsewhere_serves(tmp_path: Path, processes: list[LoggingProcess]) -> None:
    source = copy_to(tmp_path / "source")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", source, cwd=source)
    [wheel] = (tmp_path / "dist").glob("vault_server-*-py3-none-*.whl")
    programs = install_elsewhere(wheel, tmp_path / "elsewhere")
    is_compiled = shutil.which("cc") is not None and os.environ.get("VAULT_KERNEL_BUILD") != "no"
    assert wheel.name.endswith("-any.whl") is not is_compiled

    chosen = call(programs / "python", "-c", CHOSEN, cwd=tmp_path).split()
    assert chosen[:2] == [str(pow(3, 2**100, 2**600 + 1)), "gmpy2"]
    if not wheel.name.endswith("-any.whl"):
        assert chosen[2:] in (["True", "ifma"], ["False", "gmpy2"])  # as the processor has it

    where = "import protocol, vault_server, vault_client, vault_solver as s; print(s.__file__, protocol.__file__)"
    for place in call(programs / "python", "-c", where, cwd=tmp_path).split():
        assert Path(place).is_relative_to(tmp_path / "elsewhere")
    for program in ("vault-server", "vault-client", "vault-solver"):
        assert "Usage" in call(programs / program, "--help", cwd=tmp_path)

    server = InstalledServer(tmp_path, programs)
    processes.append(server)
    await server.start()
    identity = Identity.generate()
    async with await dial(server.url, identity=identity) as connection:
        assert connection.welcome.fingerprint == identity.fingerprint
    page = await say(server.http_port, request("/login"))
    assert (page.status, b'<form id="login"' in page.body) == (200, True)  # templates and static files travel, too
