"""Which kernel is used: the fastest that this machine has and that computes what GMP computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vault_solver.errors import SolverError
from vault_solver.kernel.arithmetic import Arithmetic, Kernel
from vault_solver.kernel.gmp import Gmp
from vault_solver.kernel.ifma import Ifma
from vault_solver.kernel.library import Missing
from vault_solver.kernel.selftest import Differs, check

AUTO = "auto"

FASTER: Mapping[str, Callable[[], Kernel]] = MappingProxyType({Ifma.name: Ifma})
"""What may be faster than GMP here, fastest first."""

CHOICES = (AUTO, *FASTER, Gmp.name)


class Unusable(SolverError):
    """A kernel that was asked for by name and is not to be had."""


@dataclass(frozen=True, slots=True)
class Choice:
    """`absent` says why each faster kernel is not used, by name; `warning` names one that computes wrongly."""

    arithmetic: Arithmetic
    absent: Mapping[str, str]
    warning: str | None = None

    @property
    def name(self) -> str:
        """Of the kernel that is used."""
        return self.arithmetic.name

    @property
    def told(self) -> str:
        """One line for who runs the solver."""
        reasons = "; ".join(f"{name}: {reason}" for name, reason in self.absent.items())
        return f"Kernel: {self.name}." + (f" Not used: {reasons}." if reasons else "")


def choose(wanted: str = AUTO, faster: Mapping[str, Callable[[], Kernel]] = FASTER) -> Choice:
    """The fastest kernel that passes its test, or the one wanted. Raises Unusable when that one is not there.

    A kernel that computes wrongly is never used, wanted or not: GMP is, and the choice has a warning.
    """
    absent: dict[str, str] = {}
    warning = None
    for name in [name for name in faster if wanted in (AUTO, name)]:
        try:
            kernel = faster[name]()
            check(kernel)
        except Missing as missing:
            absent[name] = str(missing)
        except Differs as differs:
            absent[name] = warning = f"kernel {name} {differs}"
        else:
            return Choice(Arithmetic(kernel, Gmp()), absent, warning)
    if wanted in absent and warning is None:
        raise Unusable(f"Kernel {wanted} is not to be had: {absent[wanted]}.", f"Use --kernel {AUTO}.")
    return Choice(Arithmetic(Gmp(), Gmp()), absent, warning)


def available() -> tuple[str, ...]:
    """Names of the kernels that this machine has, fastest first; none of them has been tested by this."""
    return (*(name for name, make in FASTER.items() if _is_there(make)), Gmp.name)


def _is_there(make: Callable[[], Kernel]) -> bool:
    try:
        make()
    except Missing:
        return False
    return True
