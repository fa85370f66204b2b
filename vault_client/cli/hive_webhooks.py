"""`vault-client hive webhooks …`: where an agent's events are sent."""

from __future__ import annotations

from typing import Annotated

import typer

from protocol.hive_records import EVENTS
from vault_client.cli.console import note, say
from vault_client.cli.hive_door import Visit, from_one, visiting
from vault_client.cli.hive_lines import WEBHOOK_HEADS, table, webhook_row

app = typer.Typer(
    no_args_is_help=True,
    help="""Have your agent's events sent to an HTTPS address of yours, signed as Standard Webhooks describes.

    After ten failed attempts in a row a webhook is no longer active: delete it and add it again.""",
)

HookArgument = Annotated[int, typer.Argument(metavar="WEBHOOK", callback=from_one, help="The webhook's number.")]


@app.command("list")
@visiting
async def list_(visit: Visit) -> None:
    """List where your events are sent."""
    async with visit.open() as hive:
        hooks = await hive.webhooks()
    if visit.as_json:
        for hook in hooks:
            visit.show(hook, "")
    elif hooks:
        for line in table(WEBHOOK_HEADS, [webhook_row(hook) for hook in hooks]):
            say(line)
    else:
        note("No webhooks.")


@app.command()
@visiting
async def add(
    visit: Visit,
    url: Annotated[str, typer.Argument(metavar="URL", help="An https address.")],
    event: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="NAME", help=f"Repeat it: {', '.join(EVENTS)}.", show_default="all of them"),
    ] = None,
) -> None:
    """Have events sent to a URL. The secret that signs them is shown once, here.

    **Example**

        vault-client hive webhooks add https://example.org/hook --event claim.accepted
    """
    async with visit.open() as hive:
        made = await hive.add_webhook(url, list(EVENTS) if event is None else event)
    visit.show(made, f"Webhook {made.webhook.id}. Its secret, which is never shown again:\n{made.secret}")


@app.command()
@visiting
async def rotate(visit: Visit, webhook: HookArgument) -> None:
    """Give a webhook a new secret, shown once; for a day the old one signs, too."""
    async with visit.open() as hive:
        made = await hive.rotate_webhook_secret(webhook)
    visit.show(made, f"Webhook {webhook} has a new secret, which is never shown again:\n{made.secret}")


@app.command()
@visiting
async def delete(visit: Visit, webhook: HookArgument) -> None:
    """Have nothing sent there any more."""
    async with visit.open() as hive:
        await hive.delete_webhook(webhook)
    say(f'{{"webhook_id": {webhook}}}' if visit.as_json else f"Webhook {webhook} is deleted.")
