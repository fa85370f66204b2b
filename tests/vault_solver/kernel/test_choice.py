"""Which kernel is used: the fastest that is there and computes rightly; it is said why another is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from gmpy2 import mpz

from vault_solver import kernel
from vault_solver.kernel import Cancel, Gmp, Ifma, Unusable
from vault_solver.kernel.library import PATH, VERSION, Library, Missing

N = mpz(2**2048 - 1)


class Wrong(Gmp):
    """A kernel that errs once in a long while: in one bit of a long chain."""

    name = "wrong"

    def square(self, value: mpz, squarings: int, modulus: mpz, cancel: Cancel | None = None) -> mpz:
        reached = super().square(value, squarings, modulus, cancel)
        return reached ^ 1 if squarings > 100 and modulus.bit_length() == 3072 else reached


def missing() -> Ifma:
    raise Missing("it has been left out")


def test_the_fastest_that_is_there_is_taken(ifma: Ifma) -> None:
    chosen = kernel.choose()
    assert (chosen.name, dict(chosen.absent), chosen.warning) == ("ifma", {}, None)
    assert chosen.arithmetic.kernel_for(N).name == "ifma"
    assert kernel.available() == ("ifma", "gmpy2")


def test_gmpy2_is_taken_when_it_is_wanted() -> None:
    chosen = kernel.choose("gmpy2")
    assert (chosen.name, dict(chosen.absent), chosen.warning) == ("gmpy2", {}, None)
    assert chosen.arithmetic.square(mpz(3), 5, N) == 3**32


def test_without_a_compiled_kernel_gmpy2_is_taken_and_it_is_said_why() -> None:
    chosen = kernel.choose(faster={"ifma": missing})
    assert (chosen.name, dict(chosen.absent), chosen.warning) == ("gmpy2", {"ifma": "it has been left out"}, None)


def test_a_kernel_that_is_wanted_and_not_there_is_an_error() -> None:
    with pytest.raises(Unusable, match="Kernel ifma is not to be had: it has been left out"):
        kernel.choose("ifma", {"ifma": missing})


@pytest.mark.parametrize("wanted", ["auto", "wrong"])
def test_a_kernel_that_computes_wrongly_is_never_used(wanted: str) -> None:
    chosen = kernel.choose(wanted, {"wrong": Wrong})
    assert chosen.name == "gmpy2"
    assert chosen.warning == "kernel wrong computes wrongly at 3072 bits on this machine"


def test_no_library_and_a_broken_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="built without it"):
        Library(tmp_path / "none.so")
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"not a library")
    with pytest.raises(Missing, match="cannot be loaded"):
        Library(broken)


def test_the_version_is_that_of_the_header() -> None:
    assert f"#define VAULT_KERNEL_VERSION {VERSION}\n" in PATH.with_name("kernel.h").read_text()
