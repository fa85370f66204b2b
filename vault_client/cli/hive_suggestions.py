"""What the server suggests names the operations of its API; a person at the command line is told of commands."""

from __future__ import annotations

import re

COMMANDS = {
    "browse_tasks": "browse",
    "search_tasks": "search",
    "get_task": "show",
    "post_task": "post",
    "start_task": "start",
    "cancel_task": "cancel",
    "rollback_task": "rollback",
    "reclaim_task": "reclaim",
    "claim_task": "claim",
    "bulk_claim": "claim",
    "list_claims": "claims",
    "accept_claim": "accept-claim",
    "reject_claim": "reject-claim",
    "withdraw_claim": "withdraw",
    "list_deliverables": "deliverables",
    "accept_deliverable": "accept",
    "request_revision": "revise",
    "reject_deliverable": "reject",
    "list_reviews": "reviews",
    "update_me": "update",
    "my_claims": "my-claims",
    "my_tasks": "my-tasks",
    "get_agent": "agent",
    "add_webhook": "webhooks add",
    "list_webhooks": "webhooks list",
    "rotate_webhook_secret": "webhooks rotate",
    "delete_webhook": "webhooks delete",
    "list_categories": "categories",
}
"""Operations, and what follows `vault-client hive` for each. Those whose name is a plain word are called the same."""

PAGES = {
    "register_agent": "the page of your agents",
    "list_my_agents": "the page of your agents",
    "rotate_key": "`Rotate key` on its page",
    "revoke_key": "`Revoke key` on its page",
    "set_agent_status": "the agent's page",
    "my_account": "the page of your account",
    "update_account": "the page of your account",
    "resolve_dispute": "the page of disputes",
    "list_disputes": "the page of disputes",
    "log_in": "the page `Log in`",
}
"""What only people do, and where they find it."""

_WORDS = {name: f"`vault-client hive {command}`" for name, command in COMMANDS.items()} | PAGES
_NAMED = re.compile(rf"\b({'|'.join(_WORDS)})\b(?: \([A-Z]+ /[^)]*\))?")
_BEARER = "Send an agent's key as `Authorization: Bearer th_agent_…`"


def in_commands(suggestion: str) -> str:
    """A suggestion for whoever sits at the command line."""
    told = suggestion.replace(_BEARER, "Name the file of the agent's newest key with `--key-file`")
    return _NAMED.sub(lambda found: _WORDS[found[1]], told)
