"""The compiled library as typed functions. Nothing else of Python calls it, and it checks again whatever it is given.

It is loaded with ctypes and knows nothing of Python: one file serves every version, building it needs no headers, the
same sources are tested alone under sanitizers, and ctypes lets go of the interpreter's lock for each call.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from pathlib import Path

VERSION = 1
"""Of kernel.h. A library of another version is left over from another build."""

PATH = Path(__file__).with_name("vault_kernel.so")


class Status(IntEnum):
    """What the library answers; the values of kernel.h."""

    OK = 0
    CANCELLED = 1
    NO_PROCESSOR = 2
    BAD_MEMORY = 3
    BAD_MODULUS = 4
    BAD_VALUE = 5
    BAD_EXPONENT = 6


class Missing(Exception):
    """There is no library to be used here; the message says why, in words for who runs the solver."""


class Library:
    """The functions of kernel.h, with the lengths filled in. Numbers are little-endian, as long as their modulus."""

    def __init__(self, path: Path = PATH) -> None:
        """Raises Missing."""
        if not path.is_file():
            raise Missing("this installation was built without it (it needs a C compiler and an x86-64 processor)")
        try:
            self._calls = ctypes.CDLL(str(path))
            self._declare()
        except (OSError, AttributeError) as error:
            raise Missing(f"the library cannot be loaded ({error})") from None
        if self._calls.vault_kernel_version() != VERSION:
            raise Missing("the library was built from other sources: install again")

    @property
    def supported(self) -> bool:
        """Whether this processor and its system offer AVX-512 IFMA."""
        return bool(self._calls.vault_kernel_supported())

    def prepare(self, modulus: bytes) -> bytes:
        """A modulus and what is derived from it, for the other functions. Raises ValueError: even, or of a bad size."""
        memory = ctypes.create_string_buffer(self._modulus_bytes)
        status = self._calls.vault_kernel_prepare(memory, self._modulus_bytes, modulus, len(modulus))
        if status != Status.OK:
            raise ValueError(f"the modulus was refused ({Status(status).name})")
        return memory.raw

    def square(self, prepared: bytes, value: bytes, squarings: int, flag: ctypes.c_uint8 | None) -> bytes | None:
        """value^(2^squarings); None when the flag was set meanwhile. Raises ValueError."""
        number = ctypes.create_string_buffer(value, len(value))
        pointer = None if flag is None else ctypes.byref(flag)
        status = self._calls.vault_kernel_square(prepared, len(prepared), number, len(value), squarings, pointer)
        if status == Status.CANCELLED:
            return None
        return self._result(status, number)

    def multiply(self, prepared: bytes, value: bytes, factor: bytes) -> bytes:
        """value·factor. Raises ValueError."""
        if len(factor) != len(value):
            raise ValueError("two values of one modulus have one length")
        number = ctypes.create_string_buffer(value, len(value))
        status = self._calls.vault_kernel_multiply(prepared, len(prepared), number, factor, len(value))
        return self._result(status, number)

    def power(self, prepared: bytes, value: bytes, exponent: bytes) -> bytes:
        """value^exponent. Raises ValueError."""
        number = ctypes.create_string_buffer(value, len(value))
        status = self._calls.vault_kernel_power(prepared, len(prepared), number, len(value), exponent, len(exponent))
        return self._result(status, number)

    def _result(self, status: int, number: ctypes.Array[ctypes.c_char]) -> bytes:
        if status != Status.OK:
            raise ValueError(f"the call was refused ({Status(status).name})")
        return number.raw

    def _declare(self) -> None:
        size, number, flag = ctypes.c_size_t, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint8)
        calls = self._calls
        calls.vault_kernel_modulus_bytes.restype = size
        calls.vault_kernel_prepare.argtypes = [number, size, number, size]
        calls.vault_kernel_square.argtypes = [number, size, number, size, ctypes.c_uint64, flag]
        calls.vault_kernel_multiply.argtypes = [number, size, number, number, size]
        calls.vault_kernel_power.argtypes = [number, size, number, size, number, size]
        self._modulus_bytes: int = calls.vault_kernel_modulus_bytes()
