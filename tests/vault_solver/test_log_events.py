"""The solver's events are one list: what the code logs is what its operator can read up."""

from __future__ import annotations

import ast
import re

from tests.house.tree import ROOT

SUBJECTS = "solver|assignment|squarings|machine|checkpoint|complaint|standing|server|request|message|worker|key|proof"
EVENT = re.compile(rf"({SUBJECTS})\.[a-z_]+")
FILES = {"solver.key", "solver.checkpoints"}


def named() -> set[str]:
    names = set()
    for path in (ROOT / "vault_solver").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and EVENT.fullmatch(node.value):
                names.add(node.value)
    return names - FILES


def test_the_operator_can_read_up_every_event() -> None:
    [text] = (ROOT / "docs" / "solver.md").read_text().split("## The log\n")[1:]
    listed = re.findall(r"^\| `([a-z._]+)` \| .+ \|$", text, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == named()
