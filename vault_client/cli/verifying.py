"""`verify`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from protocol.proof import BadProof, Statement
from protocol.puzzle import Puzzle
from vault_client.answers import check_proof
from vault_client.cli.console import ending, say
from vault_client.cli.numbers import Sources
from vault_client.cli.options import BaseOption, JsonOption, ProductOption, SquaringsOption
from vault_client.errors import NotProved
from vault_client.proof_file import ProofFile

app = typer.Typer()


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="PROOF", help="What `status TASK --save-proof` has written.")],
    t: SquaringsOption,
    baseg: BaseOption,
    product: ProductOption,
    answer: Annotated[
        str | None,
        typer.Option("--answer", metavar="NUMBER", help="The answer to check.", show_default="the one in the file"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a proof on this machine, for anybody: is the answer baseg^(2^t) mod product? No server is asked.

    Take t, baseg and product from where you know them, not from who gave you the proof. A proof means nothing when
    whoever knows product's prime factors helped to make it.

    Exit codes: 0 it holds, 5 it does not.

    **Example**

        vault-client verify 5b1f.proof --t 1000000 --baseg @g.txt --product @n.txt
    """
    sources = Sources()
    with ending(as_json=as_json):
        puzzle = Puzzle(t, sources.natural("--baseg", baseg), sources.natural("--product", product))
        proved = ProofFile.read(file)
        y = proved.answer if answer is None else sources.natural("--answer", answer)
        began = time.perf_counter()
        try:
            check_proof(Statement(puzzle, proved.task, proved.solver), proved.proof, y)
        except BadProof as reason:
            raise NotProved(proved.task, str(reason)) from None
        took_ms = (time.perf_counter() - began) * 1_000
        document = {"holds": True, "task": proved.task, "solver": proved.solver, "answer": f"{y:#x}"}
        say(json.dumps(document) if as_json else _text(proved, y, took_ms))


def _text(proved: ProofFile, y: int, took_ms: float) -> str:
    return (
        f"The proof holds ({len(proved.proof):,} bytes, checked in {took_ms:.1f} ms).\n"
        f"baseg^(2^t) mod product is {y:#x}\n"
        f"It was proved by solver {proved.solver} for task {proved.task}."
    )
