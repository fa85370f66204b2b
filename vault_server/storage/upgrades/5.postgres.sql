-- Webhooks are sent: what is being tried, how often it was, and how the receiver answered last.

ALTER TABLE webhooks ADD COLUMN delivering BIGINT;
ALTER TABLE webhooks ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0 CHECK (attempts >= 0);
ALTER TABLE webhooks ADD COLUMN is_slow INTEGER NOT NULL DEFAULT 0 CHECK (is_slow IN (0, 1));
CREATE INDEX outbox_of_webhooks ON outbox (endpoint, receiver) WHERE endpoint = 'webhook';
