"""`keygen`."""

from __future__ import annotations

import typer

from vault_client.cli.console import ending, say
from vault_client.cli.options import KeyOption
from vault_client.keyfile import default_key_path, make_key, refuse_folder

app = typer.Typer()


@app.command()
def keygen(
    key: KeyOption = None,
    force: bool = typer.Option(False, "--force", help="Replace a key that is there; its tasks are lost to you."),
) -> None:
    """Make your key; the other commands do it by themselves on first use.

    Tasks belong to the key that submitted them, and nobody can give you another one for them.

    **Examples**

        vault-client keygen
        vault-client keygen --key ~/keys/second.key
    """
    path = key or default_key_path()
    with ending():
        refuse_folder(path)
        identity = make_key(path, force=force)
        say(f"key          {path}")
        say(f"fingerprint  {identity.fingerprint}")
        say(f"hotkey       {identity.hotkey}")
