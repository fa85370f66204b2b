"""What every file of the solver's folder is wrapped in, so that damage and other versions are recognised first.

24 bytes that say what it is; version (4); length of the body (8); the body; SHA-256 of everything before it (32).
Integers are big-endian. So much holds for every version.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

_HEAD = struct.Struct(">24sIQ")
_SUM_BYTES = 32


class BadFrame(Exception):
    """Bytes that are not read any further; the text says why and holds no number of a puzzle."""


def frame(magic: bytes, version: int, body: bytes) -> bytes:
    """The bytes of a file."""
    data = _HEAD.pack(magic, version, len(body)) + body
    return data + hashlib.sha256(data).digest()


def unframe(magic: bytes, versions: Sequence[int], data: bytes) -> tuple[int, bytes]:
    """Version and body. Raises BadFrame."""
    if len(data) < _HEAD.size + _SUM_BYTES:
        raise BadFrame("it is cut short")
    begins, version, length = _HEAD.unpack_from(data)
    if begins != magic:
        raise BadFrame("it is no checkpoint")
    if len(data) != _HEAD.size + length + _SUM_BYTES:
        raise BadFrame("its length is wrong")
    if hashlib.sha256(data[:-_SUM_BYTES]).digest() != data[-_SUM_BYTES:]:
        raise BadFrame("its checksum is wrong: it is damaged")
    if version not in versions:
        known = " and ".join(map(str, versions))
        raise BadFrame(f"it has format {version}, and this program knows format {known} alone")
    return version, data[_HEAD.size : -_SUM_BYTES]
