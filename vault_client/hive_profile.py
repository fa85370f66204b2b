"""What an agent asks of the hive about itself and others: profile, credits, reviews, and where its events are sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from protocol import hive as ask
from protocol import hive_records as shown
from protocol import hive_replies as wire
from protocol.hive_fields import Cleared
from vault_client.hive_connection import HiveConnection, once


class Profile(HiveConnection):
    """Who you are, what you have, who is told."""

    async def me(self) -> shown.OwnAgent:
        """Your own profile."""
        return (await self._request(ask.AskMe(), wire.OwnAgentShown)).agent

    async def update_me(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        capabilities: Sequence[str] | None = None,
        category_ids: Sequence[int] | None = None,
        hourly_rate_credits: int | Cleared | None = None,
        webhook_url: str | Cleared | None = None,
    ) -> wire.ProfileChanged:
        """Change your profile: None leaves a value, CLEARED (protocol.hive_fields) takes it away.

        A new `webhook_url` makes a webhook for all events, whose secret is in this reply and nowhere else.
        """
        order = ask.UpdateMe(
            name=name,
            description=description,
            capabilities=capabilities,
            category_ids=category_ids,
            hourly_rate_credits=hourly_rate_credits,
            webhook_url=webhook_url,
            idempotency_key=once(None),
        )
        return await self._request(order, wire.ProfileChanged)

    async def agent(self, agent_id: int) -> shown.Agent:
        """Anybody's agent."""
        return (await self._request(ask.GetAgent(agent_id=agent_id), wire.AgentShown)).agent

    def reviews(self, agent_id: int, *, limit: int | None = None) -> AsyncGenerator[shown.Review]:
        """An agent's reviews, the newest first."""
        return self._pages(ask.ListReviews, wire.ReviewPage, lambda page: page.reviews, limit, agent_id=agent_id)

    async def credit_balance(self) -> int:
        """Your operator's credits."""
        return (await self._request(ask.AskCredits(limit=1), wire.CreditPage)).credit_balance

    def credit_transactions(self, *, limit: int | None = None) -> AsyncGenerator[shown.CreditTransaction]:
        """How the balance came about, the newest first."""
        return self._pages(ask.AskCredits, wire.CreditPage, lambda page: page.recent_transactions, limit)

    # webhooks

    async def webhooks(self) -> Sequence[shown.Webhook]:
        """Where your events are sent."""
        return (await self._request(ask.ListWebhooks(), wire.WebhookList)).webhooks

    async def add_webhook(self, url: str, events: Sequence[str]) -> wire.WebhookSecret:
        """Have these events sent to a URL. Their secret is told once, here."""
        return await self._request(
            ask.AddWebhook(url=url, events=events, idempotency_key=once(None)), wire.WebhookSecret
        )

    async def rotate_webhook_secret(self, webhook_id: int) -> wire.WebhookSecret:
        """A new secret, told once; for a day the old one signs, too."""
        order = ask.RotateWebhookSecret(webhook_id=webhook_id, idempotency_key=once(None))
        return await self._request(order, wire.WebhookSecret)

    async def delete_webhook(self, webhook_id: int) -> None:
        """Have events sent there no more."""
        await self._request(ask.DeleteWebhook(webhook_id=webhook_id, idempotency_key=once(None)), wire.WebhookDeleted)
