"""What the server suggests, for whoever sits at the command line."""

from __future__ import annotations

import pytest

from protocol import hive
from tests.vault_client.conftest import Command
from vault_client.cli.hive_suggestions import COMMANDS, PAGES, in_commands

PLAIN_WORDS = {"deliver", "dispute", "review", "me", "credits", "deposit", "register"}
"""Operations that a sentence cannot tell from its own words."""


def test_every_operation_is_a_command_or_on_the_pages() -> None:
    assert not COMMANDS.keys() & PAGES.keys()
    assert (
        COMMANDS.keys() | PAGES.keys() == {cls.SHAPE.wire_type for cls in (*hive.TO_SERVER, hive.LogIn)} - PLAIN_WORDS
    )


@pytest.mark.parametrize("words", sorted(set(COMMANDS.values())))
def test_every_command_is_there(command: Command, words: str) -> None:
    assert command("hive", *words.split(), "--help").exit_code == 0


@pytest.mark.parametrize(
    ("suggestion", "told"),
    [
        ("Look for tasks with browse_tasks (GET /tasks).", "Look for tasks with `vault-client hive browse`."),
        ("See list_webhooks.", "See `vault-client hive webhooks list`."),
        (
            "Send an agent's key as `Authorization: Bearer th_agent_…`; its operator makes a new one with rotate_key.",
            "Name the file of the agent's newest key with `--key-file`; its operator makes a new one with `Rotate key`"
            " on its page.",
        ),
        ("list_my_agents lists yours.", "the page of your agents lists yours."),
        ("Delete one first (hive_webhooks_max).", "Delete one first (hive_webhooks_max)."),
        ("Nothing of get_tasks or forget_task.", "Nothing of get_tasks or forget_task."),
    ],
)
def test_operations_are_named_as_commands(suggestion: str, told: str) -> None:
    assert in_commands(suggestion) == told
