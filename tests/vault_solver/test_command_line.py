"""What a person meets on the command line: help, wrong options, files that cannot be written."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from protocol.address import parse_address
from protocol.peer import PLAIN_JSON, PLAIN_MSGPACK, SEALED, Subprotocol
from tests.processes import environment
from vault_solver import bench
from vault_solver.__main__ import app
from vault_solver.calibration import SIZES
from vault_solver.errors import Refused
from vault_solver.kernel import choose
from vault_solver.options import Options

NOWHERE = "ws://127.0.0.1:1"


def vault_solver(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vault_solver", *arguments]
    settings = environment() | {"HOME": str(home), "COLUMNS": "100", "TERM": "dumb"}
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=30, check=False)


def test_help_names_every_option(tmp_path: Path) -> None:
    shown = vault_solver("run", "--help", home=tmp_path).stdout
    for option in ("--server", "--key", "--workers", "--capacity", "--server-key", "--known-servers", "--grace"):
        assert option in shown


def test_calibrate_prints_every_size(tmp_path: Path) -> None:
    shown = vault_solver("calibrate", "--seconds", "0.01", home=tmp_path).stdout
    for bits in SIZES:
        assert f" {bits} " in shown


def test_bench_prints_the_kernel_beside_gmp_and_the_solver_on_both(tmp_path: Path) -> None:
    ended = vault_solver("bench", "--bits", "512", "--bits", "1024", "--squarings", "120000", home=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith(f"Kernel: {choose().name}.")
    for bits, line in zip((512, 1024), ended.stdout.splitlines()[1:], strict=True):
        size, squarings, loop, gmp, ours, ratio, on_gmp, solver, solvers = line.replace(",", "").split()
        assert (int(size), int(squarings)) == (bits, 120_000)
        assert float(ratio) == pytest.approx(float(gmp) / float(ours), rel=0.02)
        assert float(solvers) == pytest.approx(float(on_gmp) / float(solver), rel=0.02)
        assert float(loop) > 0


def test_bench_chooses_how_much_by_the_seconds_it_may_take(tmp_path: Path) -> None:
    ended = vault_solver("bench", "--seconds", "0.02", "--turns", "1", "--kernel", "gmpy2", home=tmp_path)
    assert ended.stderr == "Kernel: gmpy2.\n"
    assert [line.split()[0] for line in ended.stdout.splitlines()[1:]] == ["1024", "2048", "3072", "4096"]


def test_a_machine_whose_answers_differ_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_loop", lambda *_: 0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process keeps its own
    ended = CliRunner().invoke(app, ["bench", "--bits", "512", "--squarings", "1000"])
    assert ended.exit_code == 1
    assert "computes wrongly" in ended.stderr


@pytest.mark.parametrize("command", ["bench", "calibrate"])
def test_a_kernel_that_does_not_exist_is_refused(tmp_path: Path, command: str) -> None:
    ended = vault_solver(command, "--kernel", "magic", home=tmp_path)
    assert ended.returncode == 2
    assert "auto, ifma, gmpy2" in ended.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--server", "http://127.0.0.1:8765"),
        ("--server", "ws://127.0.0.1:8765/solver"),
        ("--workers", "0"),
        ("--workers", "513"),
        ("--capacity", "0"),
        ("--capacity", "1025"),
        ("--server-key", "ab"),
        ("--server-key", "zz" * 32),
        ("--subprotocol", "vault.v2"),
        ("--grace", "-1"),
        ("--on-stop", "forget"),
        ("--crash-loss", "0.09"),
        ("--crash-loss", "3601"),
        ("--disk-mib", "0"),
        ("--proof-memory", "0"),
        ("--proof-memory", "4097"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(structlog, "configure", lambda **_: None)  # this process's logs are not the solver's
    ended = CliRunner().invoke(app, ["run", option, value])
    assert ended.exit_code == 2
    assert option in ended.stderr
    assert not (tmp_path / ".config").exists(), "nothing is made for a command that cannot run"


def test_a_key_that_cannot_be_written_is_said_and_ends_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = vault_solver("run", "--server", NOWHERE, "--key", str(tmp_path / "file" / "below"), home=tmp_path)
    assert ended.returncode == 1
    assert "file/below" in ended.stderr
    assert "Check the path" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("subprotocol", [PLAIN_JSON, PLAIN_MSGPACK])
@pytest.mark.parametrize(
    ("server", "allowed"),
    [
        ("ws://127.0.0.1:8765", True),
        ("ws://localhost:8765", True),
        ("ws://[::1]:8765", True),
        ("wss://vault.example", True),
        ("ws://192.0.2.1:8765", False),
        ("ws://vault.example:8765", False),
    ],
)
def test_unsealed_frames_never_cross_a_network_in_the_clear(
    tmp_path: Path, server: str, allowed: bool, subprotocol: Subprotocol
) -> None:
    def options(chosen: Subprotocol) -> Options:
        return Options(parse_address(server), tmp_path / "key", tmp_path / "known", None, 1, 1, chosen)

    assert options(SEALED).subprotocol is SEALED
    if allowed:
        assert options(subprotocol).subprotocol is subprotocol
    else:
        with pytest.raises(Refused, match="in the clear"):
            options(subprotocol)
