"""The README is true: its example runs, its links and commands exist."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.conftest import StartServer, StartSolver
from tests.house.tree import ROOT

README = (ROOT / "README.md").read_text()
DEFAULT_URL = "ws://127.0.0.1:8765"


def example() -> str:
    [found] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_the_sdk_example_has_ten_lines() -> None:
    assert len([line for line in example().splitlines() if line.strip()]) <= 10


async def test_the_sdk_example_runs_against_a_real_server_and_solvers(
    start_server: StartServer, start_solver: StartSolver, tmp_path: Path
) -> None:
    server = await start_server(modulus_bits_min=2048)
    await asyncio.gather(start_solver(server), start_solver(server))
    assert example().count(DEFAULT_URL) == 1
    script = tmp_path / "example.py"
    script.write_text(example().replace(DEFAULT_URL, server.url))
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, cwd=tmp_path, env=os.environ | {"HOME": str(tmp_path)},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            printed, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    assert printed.decode().split() == ["True", "proof"]


def test_what_the_readme_names_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    folders = re.findall(r"^([a-z_.]+/)\s", README, re.MULTILINE)
    assert len(links) >= 3
    assert len(folders) >= 5
    missing = [name for name in [*links, *folders] if not (ROOT / name).exists()]
    assert not missing
