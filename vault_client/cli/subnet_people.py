"""`vault-client subnet …`: who takes part, how he stands, and who helps whom."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated

import typer

from vault_client.cli.subnet_door import HotkeyArgument, Visit, looking, visiting
from vault_client.cli.subnet_lines import participant_lines, score_line

app = typer.Typer()


@app.command()
@visiting
async def register(visit: Visit) -> None:
    """Take part: whoever is to judge a task must have done so before it was answered."""
    async with visit.open() as subnet:
        registered = await subnet.register(mining=False, judging=False)
    visit.show(registered, f"{registered.hotkey} takes part, reputation {registered.reputation_score:g}.")


@app.command()
@looking
async def who(
    visit: Visit,
    hotkey: Annotated[
        str | None, typer.Argument(metavar="[HOTKEY]", help="A participant's key.", show_default="yours")
    ] = None,
) -> None:
    """Show a participant: reputation, roles by what was done, whom it helps."""
    async with visit.open() as subnet:
        seen = await subnet.participant(hotkey)
    visit.show(seen, "\n".join(participant_lines(seen)))


@app.command()
@looking
async def scores(
    visit: Visit,
    hotkey: Annotated[
        str | None, typer.Argument(metavar="[HOTKEY]", help="A participant's key.", show_default="yours")
    ] = None,
) -> None:
    """List every change of a participant's reputation, the newest first: 50 and all of them are the score."""
    async with visit.open() as subnet, aclosing(subnet.score_history(hotkey)) as lines:
        async for line in lines:
            visit.show(line, score_line(line))


@app.command("add-contributor")
@visiting
async def add_contributor(visit: Visit, hotkey: HotkeyArgument) -> None:
    """Let a key see and answer your tasks as a miner. A key helps one miner."""
    async with visit.open() as subnet:
        added = await subnet.add_contributor(hotkey)
    visit.show(added, f"{hotkey} may answer your tasks.")


@app.command("revoke-contributor")
@visiting
async def revoke_contributor(visit: Visit, hotkey: HotkeyArgument) -> None:
    """Let a contributor of yours see and answer nothing any more, at once."""
    async with visit.open() as subnet:
        removed = await subnet.revoke_contributor(hotkey)
    visit.show(removed, f"{hotkey} may no longer answer your tasks.")


@app.command("leave-miner")
@visiting
async def leave_miner(visit: Visit) -> None:
    """Stop contributing to the miner you help."""
    async with visit.open() as subnet:
        removed = await subnet.leave_miner()
    visit.show(removed, f"You no longer help {removed.miner_hotkey}.")


@app.command()
@looking
async def contributors(visit: Visit) -> None:
    """List who helps you as a miner, and whom you help."""
    async with visit.open() as subnet:
        found = await subnet.contributors()
    lines = [
        f"{each.contributor_hotkey}  {'active' if each.revoked_at is None else 'revoked'}"
        for each in found.contributors
    ]
    if found.miner_hotkey is not None:
        lines.append(f"You help {found.miner_hotkey}.")
    visit.show(found, "\n".join(lines) or "Nobody helps you, and you help nobody.")
