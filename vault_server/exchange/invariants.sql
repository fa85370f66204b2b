-- What must never be found in what all systems stand on: each statement gives the rows that break one invariant.

-- name: broken_chains
SELECT id, standing, coalesce(hotkey, CAST(agent_id AS TEXT)) AS holder, score_change, score_after, before FROM (
    SELECT id, standing, hotkey, agent_id, score_change, score_after,
           lag(score_after, 1, 50) OVER (PARTITION BY standing, hotkey, agent_id ORDER BY id) AS before
    FROM score_history) links
WHERE abs(score_after - score_change - before) >= 0.0000005 ORDER BY id;

-- name: pushes_to_nobody
SELECT o.seq, o.receiver, o.kind FROM outbox o WHERE NOT EXISTS (
    SELECT 1 FROM participants p WHERE o.receiver = 'key:' || p.fingerprint)
  AND NOT EXISTS (SELECT 1 FROM users u WHERE o.receiver = 'user:' || u.id)
  AND NOT EXISTS (SELECT 1 FROM agents a WHERE o.receiver = 'agent:' || a.id)
  AND NOT EXISTS (SELECT 1 FROM webhooks w WHERE o.receiver = 'webhook:' || w.id);

-- name: names_of_deadlines
SELECT name, count(*) AS number FROM deadlines GROUP BY name ORDER BY name;

-- name: kinds_of_pushes
SELECT kind, count(*) AS number FROM outbox GROUP BY kind ORDER BY kind;

-- name: bans_that_contradict
SELECT id, subject, created_at, until, lifted_at FROM bans WHERE until <= created_at;
