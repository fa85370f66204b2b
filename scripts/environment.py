"""Makes the clone's `.venv` from requirements.lock, and nothing when it is there already. Standard library only.

It never mends a `.venv` whose packages are in doubt: another lock file, another Python, a clone that was moved or a run
that was cut short all mean a new one. A change of pyproject.toml or of the kernel's C sources alone, or a compiler that
has come, means installing the project itself again.
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
PACKAGES_STAMP = VENV / "packages.stamp"
PROJECT_STAMP = VENV / "project.stamp"
SHOWN_LINES = 30

PIP = (str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check")

UV_NAMES = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "cert": "SSL_CERT_FILE"}
"""What uv calls those settings of pip by which a machine reaches packages."""


class SetupFailed(Exception):
    """A step that did not work; the message says which, what it printed, and what to do."""


class WrongPackage(SetupFailed):
    """A package whose hash is not the locked one; nothing else is tried then."""


def main() -> None:
    """Make `.venv` if need be. Exits with 1 and a message when a step fails."""
    try:
        with alone():
            make()
    except SetupFailed as failed:
        sys.exit(f"{failed}")
    except KeyboardInterrupt:
        sys.exit("stopped; the next run begins again")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the clone's folder, so that two runs at once make one environment, not half of each."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def make() -> None:
    """Packages when they are not what the lock file says; then the project itself when it is not."""
    uv = working_uv()
    started = time.monotonic()
    packages = digest(LOCK.read_bytes(), sys.version.encode(), sys.base_prefix.encode(), str(VENV).encode())
    if not holds(PACKAGES_STAMP, packages):
        make_packages(uv)
        PACKAGES_STAMP.write_text(packages)
    sources = [path.read_bytes() for path in built_from()]
    compiled = digest(*sources, b"compiler")
    project = compiled if shutil.which("cc") else digest(*sources)
    if not (holds(PROJECT_STAMP, project) or holds(PROJECT_STAMP, compiled)):
        PROJECT_STAMP.unlink(missing_ok=True)
        # Build tools come from the lock file too: nothing is downloaded here.
        run("the project's own install", *installer(uv), "--no-deps", "--no-build-isolation", "--editable", ROOT)
        PROJECT_STAMP.write_text(project)
        say(f".venv is ready ({time.monotonic() - started:.0f} s)")


def built_from() -> list[Path]:
    """What the project's install reads and makes something of."""
    kernel = ROOT / "vault_solver" / "kernel"
    return [ROOT / "pyproject.toml", ROOT / "hatch_build.py", *sorted(kernel.glob("*.[ch]"))]


def make_packages(uv: str | None) -> None:
    """A new `.venv` with exactly the packages of the lock file, each checked against its hashes.

    uv takes a fifth of the time pip takes, so where there is none pip fetches the locked one first. What uv cannot do,
    pip does: some mirrors and certificates only pip knows how to reach.
    """
    say(f"making .venv with Python {sys.version.split()[0]} and {'uv' if uv else 'pip'} from requirements.lock …")
    tool = uv
    try:
        start_afresh(uv)
        tool = uv or locked_uv()
        install_packages(tool)
    except SetupFailed as failed:
        if tool is None or isinstance(failed, WrongPackage):
            raise
        say("uv could not; trying again without it")
        start_afresh(None)
        install_packages(None)


def start_afresh(uv: str | None) -> None:
    """An empty `.venv`."""
    shutil.rmtree(VENV, ignore_errors=True)
    if uv:
        run("uv venv", uv, "venv", "--python", sys.executable, VENV)
    else:
        run("python -m venv", sys.executable, "-m", "venv", VENV)


def locked_uv() -> str | None:
    """The uv that the lock file names, installed by pip; None when it names none, or none for this machine."""
    entry = re.search(r"^uv==.*(?:\n[ ].*)*", LOCK.read_text(), re.MULTILINE)
    if entry is None:
        return None
    (VENV / "uv.requirement").write_text(entry[0] + "\n")
    try:
        run("the download of uv", *PIP, "--only-binary=:all:", "--require-hashes", "-r", VENV / "uv.requirement")
    except WrongPackage:
        raise
    except SetupFailed:
        return None
    return str(VENV / "bin" / "uv")


def install_packages(uv: str | None) -> None:
    """Everything that the lock file names, as bytecode too: some who start the programs forbid Python to write any."""
    words = (uv, "pip", "install", "--python", PYTHON, "--compile-bytecode") if uv else PIP
    settings = settings_for_uv() if uv else {}
    run("the download of the locked packages", *words, "--require-hashes", "-r", LOCK, settings=settings)


def installer(uv: str | None) -> list[str]:
    """The command that installs the project itself: uv left pip out, or pip is there.

    uv would take what it built before unless pyproject.toml has changed: the kernel's sources it does not look at.
    """
    if uv and not (VENV / "bin" / "pip").exists():
        return [uv, "pip", "install", "--python", str(PYTHON), "--reinstall", "--no-cache"]
    return list(PIP)


def settings_for_uv() -> dict[str, str]:
    """pip's settings of this machine, for uv, which does not read them; its own come first.

    Any index may give a package: which one is right, the hashes decide.
    """
    if not (VENV / "bin" / "pip").exists():
        return {}
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    found = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for place in ("global.", "install.", ":env:."):  # the last counts
        for line in listed.stdout.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(place) and (known := UV_NAMES.get(name.removeprefix(place))):
                found[known] = " ".join(str(ast.literal_eval(value)).split())
    return {name: value for name, value in found.items() if name not in os.environ}


def working_uv() -> str | None:
    """uv when it is on PATH and runs; a version manager's shim may only say that it is not installed."""
    uv = shutil.which("uv")
    if uv and subprocess.run([uv, "--version"], capture_output=True, check=False).returncode == 0:
        return uv
    return None


def digest(*parts: bytes) -> str:
    """One line that changes when any part does."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def holds(stamp: Path, expected: str) -> bool:
    """Whether that stamp says so, and the interpreter it speaks of still runs."""
    return stamp.is_file() and stamp.read_text() == expected and os.access(PYTHON, os.X_OK)


def run(step: str, *command: object, settings: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run one step in silence, with more variables if need be. Raises SetupFailed with the end of what it printed."""
    kept = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONHOME")}
    arguments: Sequence[str] = [str(word) for word in command]
    done = subprocess.run(
        arguments, cwd=ROOT, env=kept | dict(settings), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode != 0:
        shown = "\n".join(done.stdout.splitlines()[-SHOWN_LINES:])
        raise failure(done.stdout)(f"{shown}\n\nset-up failed at {step} (above). {advice(done.stdout)}")


def failure(printed: str) -> type[SetupFailed]:
    """What kind of failure a step's last words speak of."""
    mismatch = any(words in printed.lower() for words in ("hash mismatch", "do not match the hashes"))
    return WrongPackage if mismatch else SetupFailed


def advice(printed: str) -> str:
    """What to do next, drawn from what a failed step printed."""
    if failure(printed) is WrongPackage:
        return "A package is not the one that requirements.lock names; do not use it. Is a mirror in between?"
    if "ensurepip" in printed:
        return "Install your system's package for Python's venv module (often called python3-venv), or uv."
    return "Is the network there, and is there room on the disk? Then run this again."


def say(line: str) -> None:
    """One line for the person who waits."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
