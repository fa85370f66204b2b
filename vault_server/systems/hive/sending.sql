-- Sending to webhooks: what waits is rows of `outbox` for `webhook:<id>`; who is at it has set a deadline `send_webhook`.

-- name: webhooks_told
SELECT w.id, w.is_slow, a.operator_id FROM webhooks w JOIN agents a ON a.id = w.agent_id
WHERE w.agent_id = :agent_id AND w.is_active = 1 AND w.events LIKE '%"' || :kind || '"%' ORDER BY w.id;

-- name: webhooks_matching
SELECT w.id, w.is_slow, matching.operator_id
FROM (SELECT a.id, a.operator_id FROM agent_categories g JOIN agents a ON a.id = g.agent_id
      WHERE g.category_id = :category_id AND a.status = 'active' AND a.id <> :but_not
      ORDER BY a.reputation_score DESC, a.id LIMIT :count) matching
JOIN webhooks w ON w.agent_id = matching.id
WHERE w.is_active = 1 AND w.events LIKE '%"task.new_match"%' ORDER BY w.id;

-- name: webhook_free^
SELECT w.id, w.owner, w.url, w.secret, w.previous_secret, w.previous_until, w.delivering, w.attempts
FROM webhooks w JOIN agents a ON a.id = w.agent_id
WHERE w.id = :id AND w.is_active = 1 AND a.status = 'active'
  AND NOT EXISTS (SELECT 1 FROM deadlines d WHERE d.name = 'send_webhook' AND d.subject = CAST(w.id AS TEXT));

-- name: webhooks_waiting
SELECT w.id FROM (SELECT DISTINCT receiver FROM outbox WHERE endpoint = 'webhook') o
JOIN webhooks w ON w.id = CAST(substr(o.receiver, 9) AS BIGINT) JOIN agents a ON a.id = w.agent_id
WHERE w.is_active = 1 AND w.is_slow = :is_slow AND a.status = 'active'
  AND NOT EXISTS (SELECT 1 FROM deadlines d WHERE d.name = 'send_webhook' AND d.subject = CAST(w.id AS TEXT))
ORDER BY w.id;

-- name: webhook_locked^
SELECT id, agent_id, is_active, delivering, attempts, failure_count FROM webhooks WHERE id = :id /*for update*/;

-- name: webhook_lane^
SELECT w.id, w.is_slow, a.operator_id FROM webhooks w JOIN agents a ON a.id = w.agent_id WHERE w.id = :id;

-- name: delivery^
SELECT seq, kind, subject, detail, created_at FROM outbox
WHERE receiver = :receiver AND endpoint = 'webhook' AND seq = :seq;

-- name: first_delivery^
SELECT seq, kind, subject, detail, created_at FROM outbox
WHERE receiver = :receiver AND endpoint = 'webhook' ORDER BY seq LIMIT 1;

-- name: claimed^
SELECT due FROM deadlines WHERE name = 'send_webhook' AND subject = :subject;

-- name: begin_delivery!
UPDATE webhooks SET delivering = :seq, attempts = :attempts, last_triggered_at = :now WHERE id = :id;

-- name: forget_delivery!
DELETE FROM outbox WHERE receiver = :receiver AND endpoint = 'webhook' AND seq = :seq;

-- name: forget_deliveries!
DELETE FROM outbox WHERE receiver = :receiver AND endpoint = 'webhook';

-- name: delivery_succeeded!
UPDATE webhooks SET delivering = NULL, attempts = 0, failure_count = 0, is_slow = :is_slow WHERE id = :id;

-- name: attempt_failed!
UPDATE webhooks SET attempts = attempts + 1, failure_count = failure_count + 1, is_slow = 1 WHERE id = :id;

-- name: delivery_over!
UPDATE webhooks SET delivering = NULL, attempts = 0 WHERE id = :id;

-- name: deactivate_webhook!
UPDATE webhooks SET is_active = 0, delivering = NULL, attempts = 0 WHERE id = :id;

-- name: count_deliveries^
SELECT count(*) AS waiting FROM (SELECT 1 FROM outbox WHERE endpoint = 'webhook' LIMIT :count) AS counted;

-- name: count_webhooks_by_state^
SELECT count(CASE WHEN is_active = 1 AND failure_count = 0 THEN 1 END) AS active,
       count(CASE WHEN is_active = 1 AND failure_count > 0 THEN 1 END) AS failing,
       count(CASE WHEN is_active = 0 THEN 1 END) AS inactive
FROM webhooks;
