"""The C code alone, under AddressSanitizer and UndefinedBehaviorSanitizer: limits, crafted carries, odd addresses."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault_solver.kernel.numbers import SIZES, moduli, values
from vault_solver.kernel.library import PATH, Status

SOURCES = PATH.parent
FLAGS = ("-std=c11", "-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DVAULT_KERNEL_TESTED")
COMPILE_SECONDS_MAX = 200
FULL = 2**52 - 1


class Harness:
    """The process of harness.c: one call, one answer. A sanitizer that finds something ends it."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, name: str, first: str = "-", second: str = "-") -> list[str]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{name} {first} {second}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the sanitizers ended it in {name}; see standard error"
        return answer.split()

    def number(self, name: str, first: str, second: str) -> int:
        status, digits = self.call(name, first, second)
        assert int(status) == Status.OK
        return int.from_bytes(bytes.fromhex(digits), "little")

    def status(self, name: str, first: str = "-", second: str = "-") -> Status:
        return Status(int(self.call(name, first, second)[0]))

    def prepare(self, modulus: int) -> None:
        assert self.status("prepare", digits(modulus, modulus)) == Status.OK

    def end(self) -> int:
        self._process.communicate(timeout=30)
        return self._process.returncode


def digits(number: int, modulus: int) -> str:
    return number.to_bytes((modulus.bit_length() + 7) // 8, "little").hex()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("NOT TESTED: without a C compiler the kernel's code cannot be run under sanitizers")
    built = tmp_path_factory.mktemp("harness") / "harness"
    sources = (Path(__file__).with_name("harness.c"), SOURCES / "kernel.c", SOURCES / "ifma.c")
    done = subprocess.run(
        [compiler, *FLAGS, "-I", SOURCES, "-o", built, *sources],
        capture_output=True, text=True, timeout=COMPILE_SECONDS_MAX, check=False,
    )  # fmt: skip
    if "asan" in done.stderr:
        pytest.skip(f"NOT TESTED: this compiler has no sanitizers: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return built


@pytest.fixture
def harness(program: Path) -> Iterator[Harness]:
    """Ends well: that is where leaks are found."""
    running = Harness(program)
    if running.call("supported") != ["1"]:
        running.end()
        pytest.skip("NOT TESTED: this processor does not offer AVX-512 IFMA")
    yield running
    assert running.end() == 0


def test_every_call_at_every_size(harness: Harness) -> None:
    for bits in SIZES[::2]:
        for n in moduli(bits).values():
            harness.prepare(n)
            for value in values(n).values():
                hexed = digits(value, n)
                assert harness.number("square", hexed, "3") == pow(value, 8, n)
                assert harness.number("multiply", hexed, digits(n - 3, n)) == value * (n - 3) % n
            assert harness.number("power", digits(n - 2, n), "fe01") == pow(n - 2, 0x01FE, n)
            assert harness.number("power", digits(5, n), "-") == 1


def test_special_moduli_need_the_longest_carries(harness: Harness) -> None:
    """Nothing of a random number ever takes a second pass: these take as many as there are limbs but one or two."""
    for bits, limbs in ((512, 10), (1024, 20), (2048, 40), (2076, 40), (3072, 60), (4096, 79)):
        for kind in ("largest", "below the largest", "smallest"):
            n = moduli(bits)[kind]
            harness.prepare(n)
            harness.call("passes")
            for value in (n - 1, n - 2, n - (1 << bits // 2), 7):
                assert harness.number("square", digits(value, n), "40") == pow(value, 1 << 64, n)
            assert int(harness.call("passes")[0]) >= limbs - 2


def test_random_numbers_need_one_pass(harness: Harness) -> None:
    n = moduli(2048)["random"]
    harness.prepare(n)
    harness.call("passes")
    assert harness.number("square", digits(values(n)["random"], n), "100") == pow(values(n)["random"], 1 << 256, n)
    assert harness.call("passes") == ["1"]


def carried(harness: Harness, limbs: list[int]) -> tuple[int, int]:
    """How many passes it took, and the number that is left; every limb has 52 bits then."""
    passes, rest = harness.call("carry", str(len(limbs) // 8), ",".join(f"{limb:x}" for limb in limbs))
    normal = [int(limb, 16) for limb in rest.rstrip(",").split(",")]
    assert max(normal) <= FULL
    return int(passes), number_of(normal)


def number_of(limbs: list[int]) -> int:
    return sum(limb << 52 * place for place, limb in enumerate(limbs))


@pytest.mark.parametrize("vectors", range(2, 11))
def test_crafted_carries(harness: Harness, vectors: int) -> None:
    count = 8 * vectors
    rows_max = 4 * (count - 1) * FULL  # what rows leave in a limb at most: docs/kernel.md
    crafted = {
        "nothing": [0] * count,
        "full": [FULL] * count,
        "over all limbs but the last": [FULL + 1, *[FULL] * (count - 2), 0],
        "over each lane's end": [FULL if place % vectors else FULL + 1 for place in range(count - 1)] + [0],
        "most in all": [rows_max] * (count - 1) + [0],
        "most below, full above": [rows_max, *[FULL] * (count - 2), 0],
        "just full after one pass": [FULL - 1, *[FULL + 1] * (count - 2), 0],
        "all bits": [2**64 - 1] * (count - 1) + [0],
    }
    for name, limbs in crafted.items():
        passes, number = carried(harness, limbs)
        assert number == number_of(limbs), name
        assert passes <= count, name
    assert carried(harness, crafted["over all limbs but the last"])[0] == count - 1


def test_random_carries(harness: Harness) -> None:
    draw = random.Random(7)
    for _ in range(300):
        choices = (0, 1, FULL - 1, FULL, FULL + 1, 2**61, draw.getrandbits(64))
        limbs = [draw.choice(choices) for _ in range(8 * draw.randrange(2, 11) - 1)] + [0]
        assert carried(harness, limbs)[1] == number_of(limbs)


def test_every_limit_is_refused(harness: Harness) -> None:
    assert harness.status("square", "01", "1") == Status.BAD_MEMORY
    for modulus in ("-", "00", "ff", "ff" * 63 + "7f", "ff" * 512 + "01", "fe" + "ff" * 255, "ff" * 64 + "00"):
        assert harness.status("prepare", modulus) == Status.BAD_MODULUS
    n = (1 << 2048) - 9
    assert harness.call("short", digits(n, n)) == [str(int(Status.BAD_MEMORY))] * 2
    harness.prepare(n)
    for value in ("-", "01", digits(n, n), digits(n + 1, n), digits(1, n) + "00", "ff" * 1000):
        assert harness.status("square", value, "1") == Status.BAD_VALUE
        assert harness.status("power", value, "01") == Status.BAD_VALUE
    assert harness.status("multiply", digits(n, n), digits(1, n)) == Status.BAD_VALUE
    assert harness.status("multiply", digits(1, n), digits(n, n)) == Status.BAD_VALUE
    assert harness.status("power", digits(1, n), "01" * 1025) == Status.BAD_EXPONENT
    assert harness.number("power", digits(1, n), "01" * 1024) == 1
    assert harness.status("cancelled", digits(3, n), "ffffffffffffffff") == Status.CANCELLED


def test_a_cancelled_call_leaves_the_value_as_it_was(harness: Harness) -> None:
    n = moduli(1024)["random"]
    harness.prepare(n)
    assert harness.call("cancelled", digits(3, n), "5") == [str(int(Status.CANCELLED)), digits(3, n)]
