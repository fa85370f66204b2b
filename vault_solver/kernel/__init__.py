"""Arithmetic modulo an odd N as fast as the processor allows: a compiled kernel where there is one, GMP elsewhere.

    arithmetic = kernel.choose("auto").arithmetic
    arithmetic.square(value, squarings, modulus)      # value^(2^squarings) mod modulus, without the interpreter's lock

docs/kernel.md explains the compiled one and proves what it relies on.
"""

from __future__ import annotations

from vault_solver.kernel.arithmetic import Arithmetic, Cancel, Cancelled, Kernel, OutOfRange
from vault_solver.kernel.choice import AUTO, CHOICES, Choice, Unusable, available, choose
from vault_solver.kernel.gmp import Gmp
from vault_solver.kernel.ifma import Ifma

__all__ = [
    "AUTO",
    "CHOICES",
    "Arithmetic",
    "Cancel",
    "Cancelled",
    "Choice",
    "Gmp",
    "Ifma",
    "Kernel",
    "OutOfRange",
    "Unusable",
    "available",
    "choose",
]
