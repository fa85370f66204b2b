"""How the master keys stand, in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def keys_line(state: Mapping[str, Any]) -> str:
    """`state` is what the report `keys` says (exchange/rotation.py)."""
    version, phase = state["version"], state["phase"]
    if phase == "idle":
        older = f"; older ones that are still needed: {', '.join(map(str, state['older']))}" if state["older"] else ""
        return f"Master key {version} seals everything{older}"
    share = f", {state['done']:,} of about {state['total']:,} rows" if state["total"] else ""
    return f"Master key {version} seals from now on; {phase}{share}"
