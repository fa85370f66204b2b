"""`python -m tests.protocol.regenerate` writes the generated parts of docs/protocol.md anew and nothing else."""

from tests.protocol.reference import DOCUMENT, regenerated

if __name__ == "__main__":
    DOCUMENT.write_text(regenerated(DOCUMENT.read_text()))
    print(f"{DOCUMENT.name} is written; look at the difference before you commit it.")
