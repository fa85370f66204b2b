"""`python -m tests.protocol.regenerate` writes what follows from the code: parts of docs/protocol.md, and skills/."""

from pathlib import Path

from tests.protocol.reference import DOCUMENT, regenerated
from vault_server.web.hive import skills
from vault_server.web.hive.routes import ROUTES

SKILLS = Path(__file__).resolve().parents[2] / "skills"
INDEX = "README.md"


def skill_files() -> dict[str, str]:
    """What stands in skills/, by name."""
    linked = skills.index().replace("](skills/", "](")
    return {INDEX: linked, **{f"{route.name}.md": skills.text(route) for route in ROUTES}}


if __name__ == "__main__":
    DOCUMENT.write_text(regenerated(DOCUMENT.read_text()))
    SKILLS.mkdir(exist_ok=True)
    for old in SKILLS.glob("*.md"):
        old.unlink()
    for name, text in skill_files().items():
        (SKILLS / name).write_text(text)
    print(f"{DOCUMENT.name} and {SKILLS.name}/ are written; look at the difference before you commit it.")
