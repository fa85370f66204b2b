-- name: agent_actor^
SELECT a.id, a.operator_id, a.status, a.api_key_hash, u.role FROM agents a JOIN users u ON u.id = a.operator_id
WHERE a.id = :id;

-- name: user_actor^
SELECT id, role FROM users WHERE id = :id;

-- name: agent_of_key^
SELECT id, status FROM agents WHERE api_key_hash = :key_hash;

-- name: agents_held
SELECT id, status, api_key_hash FROM agents WHERE id IN (SELECT value FROM json_each(:ids));

-- name: sessions_held
SELECT token_hash FROM hive_sessions
WHERE token_hash IN (SELECT value FROM json_each(:hashes)) AND expires_at > :now;

-- name: task_to_decide^
SELECT id, poster_id, title, budget_credits, category_id, status, claimed_by_agent_id, deadline, max_revisions,
       posted_by_agent_id
FROM hive_tasks WHERE id = :id /*for update*/;

-- name: task_seen^
SELECT id, poster_id, title, budget_credits, category_id, status, claimed_by_agent_id, deadline, max_revisions,
       posted_by_agent_id
FROM hive_tasks WHERE id = :id;

-- name: task_line^
SELECT l.*, a.operator_id AS worker_id, (
    SELECT k.proposed_credits FROM task_claims k WHERE k.task_id = l.id AND k.status = 'accepted') AS agreed_credits
FROM hive_task_lines l LEFT JOIN agents a ON a.id = l.claimed_by_agent_id WHERE l.id = :id;

-- name: poster_counts^
SELECT posted, completed, disputed FROM hive_posters WHERE user_id = :user_id;

-- name: insert_task^
INSERT INTO hive_tasks (poster_id, title, description, requirements, budget_credits, category_id, status, deadline,
                        max_revisions, created_at, updated_at, posted_by_agent_id)
VALUES (:poster_id, :title, :description, :requirements, :budget_credits, :category_id, :status, :deadline,
        :max_revisions, :now, :now, :posted_by_agent_id)
RETURNING id;

-- name: count_open_tasks^
SELECT count(*) AS tasks FROM hive_tasks
WHERE poster_id = :poster_id AND status NOT IN ('completed', 'cancelled');

-- name: move_task!
UPDATE hive_tasks SET status = :status, claimed_by_agent_id = :agent_id, updated_at = :now
WHERE id = :id AND status = :expected;

-- name: category^
SELECT id FROM categories WHERE id = :id;

-- name: categories
SELECT id, name, slug, description, icon, sort_order FROM categories ORDER BY sort_order, id;

-- name: seed_category!
INSERT INTO categories (name, slug, sort_order) VALUES (:name, :slug, :sort_order) ON CONFLICT DO NOTHING;

-- name: browse_newest
SELECT * FROM hive_task_lines WHERE status = :status AND id < :id
  AND budget_credits BETWEEN :min_budget AND :max_budget ORDER BY id DESC LIMIT :count;

-- name: browse_oldest
SELECT * FROM hive_task_lines WHERE status = :status AND id > :id
  AND budget_credits BETWEEN :min_budget AND :max_budget ORDER BY id LIMIT :count;

-- name: browse_budget_high
SELECT * FROM hive_task_lines WHERE status = :status AND budget_credits BETWEEN :min_budget AND :max_budget
  AND (budget_credits, id) < (:budget, :id) ORDER BY budget_credits DESC, id DESC LIMIT :count;

-- name: browse_budget_low
SELECT * FROM hive_task_lines WHERE status = :status AND budget_credits BETWEEN :min_budget AND :max_budget
  AND (budget_credits, id) > (:budget, :id) ORDER BY budget_credits, id LIMIT :count;

-- name: browse_newest_in
SELECT * FROM hive_task_lines WHERE category_id = :category AND status = :status AND id < :id
  AND budget_credits BETWEEN :min_budget AND :max_budget ORDER BY id DESC LIMIT :count;

-- name: browse_oldest_in
SELECT * FROM hive_task_lines WHERE category_id = :category AND status = :status AND id > :id
  AND budget_credits BETWEEN :min_budget AND :max_budget ORDER BY id LIMIT :count;

-- name: browse_budget_high_in
SELECT * FROM hive_task_lines WHERE category_id = :category AND status = :status
  AND budget_credits BETWEEN :min_budget AND :max_budget
  AND (budget_credits, id) < (:budget, :id) ORDER BY budget_credits DESC, id DESC LIMIT :count;

-- name: browse_budget_low_in
SELECT * FROM hive_task_lines WHERE category_id = :category AND status = :status
  AND budget_credits BETWEEN :min_budget AND :max_budget
  AND (budget_credits, id) > (:budget, :id) ORDER BY budget_credits, id LIMIT :count;

-- name: search_tasks
SELECT l.*, page.tier FROM (
    SELECT found.id, found.tier FROM (
        SELECT t.id, CASE WHEN t.id IN (SELECT rowid FROM hive_tasks_text WHERE hive_tasks_text MATCH :in_title)
                          THEN 1 ELSE 0 END AS tier
        FROM hive_tasks t
        WHERE t.id IN (SELECT rowid FROM hive_tasks_text WHERE hive_tasks_text MATCH :anywhere)
          AND t.status = :status AND t.budget_credits BETWEEN :min_budget AND :max_budget
          AND (CAST(:category AS BIGINT) IS NULL OR t.category_id = :category)) found
    WHERE (found.tier, found.id) < (:tier, :id) ORDER BY found.tier DESC, found.id DESC LIMIT :count) page
JOIN hive_task_lines l ON l.id = page.id ORDER BY page.tier DESC, page.id DESC;

-- name: tasks_of_poster
SELECT * FROM hive_task_lines WHERE poster_id = :user_id AND id < :id
  AND (CAST(:status AS TEXT) IS NULL OR status = :status) ORDER BY id DESC LIMIT :count;

-- name: tasks_of_agent
SELECT * FROM hive_task_lines WHERE claimed_by_agent_id = :agent_id AND id < :id
  AND (CAST(:status AS TEXT) IS NULL OR status = :status) ORDER BY id DESC LIMIT :count;

-- name: tasks_of_operator
SELECT * FROM hive_task_lines
WHERE claimed_by_agent_id IN (SELECT id FROM agents WHERE operator_id = :user_id) AND id < :id
  AND (CAST(:status AS TEXT) IS NULL OR status = :status) ORDER BY id DESC LIMIT :count;

-- name: tasks_disputed
SELECT l.* FROM disputes d JOIN hive_task_lines l ON l.id = d.task_id
WHERE d.resolved_at IS NULL AND d.task_id > :id ORDER BY d.task_id LIMIT :count;

-- name: insert_claim^
INSERT INTO task_claims (task_id, agent_id, proposed_credits, message, status, created_at)
VALUES (:task_id, :agent_id, :proposed_credits, :message, :status, :now) RETURNING id;

-- name: claim^
SELECT k.id, k.task_id, k.agent_id, k.proposed_credits, k.message, k.status, k.created_at, a.name AS agent_name,
       a.operator_id, a.status AS agent_status, t.title AS task_title
FROM task_claims k JOIN agents a ON a.id = k.agent_id JOIN hive_tasks t ON t.id = k.task_id
WHERE k.id = :id AND k.task_id = :task_id;

-- name: pending_claim^
SELECT id FROM task_claims WHERE task_id = :task_id AND agent_id = :agent_id AND status = 'pending';

-- name: accepted_claim^
SELECT id, task_id, agent_id, proposed_credits, status FROM task_claims
WHERE task_id = :task_id AND status = 'accepted';

-- name: pending_claims
SELECT id, task_id, agent_id, status FROM task_claims WHERE task_id = :task_id AND status = 'pending' ORDER BY id;

-- name: move_claim!
UPDATE task_claims SET status = :status, is_abandoned = :is_abandoned WHERE id = :id AND status = :expected;

-- name: claims_of_task
SELECT k.id, k.task_id, k.agent_id, k.proposed_credits, k.message, k.status, k.created_at, a.name AS agent_name,
       t.title AS task_title
FROM task_claims k JOIN agents a ON a.id = k.agent_id JOIN hive_tasks t ON t.id = k.task_id
WHERE k.task_id = :task_id AND k.id < :id
  AND (CAST(:agent_id AS BIGINT) IS NULL OR k.agent_id = :agent_id)
  AND (CAST(:operator_id AS BIGINT) IS NULL OR a.operator_id = :operator_id)
ORDER BY k.id DESC LIMIT :count;

-- name: claims_of_agent
SELECT k.id, k.task_id, k.agent_id, k.proposed_credits, k.message, k.status, k.created_at, a.name AS agent_name,
       t.title AS task_title
FROM task_claims k JOIN agents a ON a.id = k.agent_id JOIN hive_tasks t ON t.id = k.task_id
WHERE k.agent_id = :agent_id AND k.id < :id AND (CAST(:status AS TEXT) IS NULL OR k.status = :status)
ORDER BY k.id DESC LIMIT :count;

-- name: claims_of_operator
SELECT k.id, k.task_id, k.agent_id, k.proposed_credits, k.message, k.status, k.created_at, a.name AS agent_name,
       t.title AS task_title
FROM task_claims k JOIN agents a ON a.id = k.agent_id JOIN hive_tasks t ON t.id = k.task_id
WHERE k.agent_id IN (SELECT id FROM agents WHERE operator_id = :user_id) AND k.id < :id
  AND (CAST(:status AS TEXT) IS NULL OR k.status = :status)
ORDER BY k.id DESC LIMIT :count;

-- name: insert_deliverable^
INSERT INTO deliverables (task_id, agent_id, content, status, revision_number, submitted_at)
VALUES (:task_id, :agent_id, :content, :status, :revision_number, :now) RETURNING id;

-- name: count_deliverables^
SELECT count(*) AS deliverables FROM deliverables WHERE task_id = :task_id AND agent_id = :agent_id;

-- name: deliverable^
SELECT id, task_id, agent_id, content, status, revision_notes, revision_number, submitted_at FROM deliverables
WHERE id = :id AND task_id = :task_id;

-- name: submitted_deliverable^
SELECT id, task_id, agent_id, content, status, revision_notes, revision_number, submitted_at FROM deliverables
WHERE task_id = :task_id AND status = 'submitted';

-- name: deliverable_seen^
SELECT id, task_id, status, revision_notes FROM deliverables WHERE id = :id;

-- name: move_deliverable!
UPDATE deliverables SET status = :status, revision_notes = coalesce(CAST(:notes AS TEXT), revision_notes)
WHERE id = :id AND status = :expected;

-- name: lengths_of_deliverables
SELECT id, length(content) AS characters FROM deliverables
WHERE task_id = :task_id AND id < :id AND (CAST(:agent_id AS BIGINT) IS NULL OR agent_id = :agent_id)
ORDER BY id DESC LIMIT :count;

-- name: deliverables_of_task
SELECT id, task_id, agent_id, content, status, revision_notes, revision_number, submitted_at FROM deliverables
WHERE task_id = :task_id AND id BETWEEN :first AND :last
  AND (CAST(:agent_id AS BIGINT) IS NULL OR agent_id = :agent_id)
ORDER BY id;

-- name: insert_dispute!
INSERT INTO disputes (task_id, deliverable_id, kind, reason, created_at)
VALUES (:task_id, :deliverable_id, :kind, :reason, :now);

-- name: dispute^
SELECT task_id, deliverable_id, kind, reason, created_at, outcome, note, resolved_by, resolved_at FROM disputes
WHERE task_id = :task_id;

-- name: resolve_dispute!
UPDATE disputes SET outcome = :outcome, note = :note, resolved_by = :resolved_by, resolved_at = :now
WHERE task_id = :task_id AND resolved_at IS NULL;

-- name: review_of_task^
SELECT id, task_id, reviewer_id, agent_id, rating, quality_score, speed_score, comment, created_at FROM reviews
WHERE task_id = :task_id;

-- name: insert_review^
INSERT INTO reviews (task_id, reviewer_id, agent_id, rating, quality_score, speed_score, comment, created_at)
VALUES (:task_id, :reviewer_id, :agent_id, :rating, :quality_score, :speed_score, :comment, :now) RETURNING id;

-- name: reviews_of_agent
SELECT id, task_id, reviewer_id, agent_id, rating, quality_score, speed_score, comment, created_at FROM reviews
WHERE agent_id = :agent_id AND id < :id ORDER BY id DESC LIMIT :count;

-- name: agent_to_decide^
SELECT id, operator_id, status, reputation_score, avg_rating, api_key_hash FROM agents
WHERE id = :id /*for update*/;

-- name: record_of_tasks^
SELECT count(CASE WHEN t.status = 'completed' THEN 1 END) AS completed,
       count(CASE WHEN t.status = 'cancelled' AND EXISTS (
           SELECT 1 FROM deliverables d WHERE d.task_id = t.id AND d.agent_id = :agent_id AND d.status = 'rejected')
           THEN 1 END) AS lost
FROM hive_tasks t WHERE t.claimed_by_agent_id = :agent_id AND t.poster_id <> :operator_id;

-- name: record_of_claims^
SELECT count(*) AS abandoned FROM task_claims k JOIN hive_tasks t ON t.id = k.task_id
WHERE k.agent_id = :agent_id AND k.is_abandoned = 1 AND t.poster_id <> :operator_id;

-- name: record_of_reviews^
SELECT count(*) AS ratings, coalesce(sum(rating), 0) AS rating_sum, coalesce(sum(rating * rating), 0) AS rating_squares,
       coalesce(sum(coalesce(quality_score, rating)), 0) AS quality_sum, count(speed_score) AS speeds,
       coalesce(sum(speed_score), 0) AS speed_sum
FROM reviews WHERE agent_id = :agent_id AND reviewer_id <> :operator_id;

-- name: set_avg_rating!
UPDATE agents SET avg_rating = :avg_rating WHERE id = :id;

-- name: insert_agent^
INSERT INTO agents (operator_id, name, description, capabilities, category_ids, hourly_rate_credits, api_key_hash,
                    api_key_prefix, status, created_at, updated_at)
VALUES (:operator_id, :name, :description, :capabilities, :category_ids, :hourly_rate_credits, :key_hash,
        :key_prefix, 'active', :now, :now)
RETURNING id;

-- name: count_agents^
SELECT count(*) AS agents FROM agents WHERE operator_id = :operator_id;

-- name: agent^
SELECT a.id, a.operator_id, a.name, a.description, a.capabilities, a.category_ids, a.hourly_rate_credits,
       a.api_key_prefix, a.webhook_url, a.status, a.reputation_score, a.tasks_completed, a.avg_rating, a.created_at,
       a.updated_at, u.name AS operator_name
FROM agents a JOIN users u ON u.id = a.operator_id WHERE a.id = :id;

-- name: agents_of_operator
SELECT a.id, a.operator_id, a.name, a.description, a.capabilities, a.category_ids, a.hourly_rate_credits,
       a.api_key_prefix, a.webhook_url, a.status, a.reputation_score, a.tasks_completed, a.avg_rating, a.created_at,
       a.updated_at, u.name AS operator_name
FROM agents a JOIN users u ON u.id = a.operator_id WHERE a.operator_id = :user_id AND a.id > :id
ORDER BY a.id LIMIT :count;

-- name: update_agent!
UPDATE agents SET name = :name, description = :description, capabilities = :capabilities,
    category_ids = :category_ids, hourly_rate_credits = :hourly_rate_credits, webhook_url = :webhook_url,
    updated_at = :now
WHERE id = :id;

-- name: set_webhook_url!
UPDATE agents SET webhook_url = :url WHERE id = :id;

-- name: set_key!
UPDATE agents SET api_key_hash = :key_hash, api_key_prefix = :key_prefix, updated_at = :now WHERE id = :id;

-- name: set_agent_status!
UPDATE agents SET status = :status, updated_at = :now WHERE id = :id AND status = :expected;

-- name: insert_user^
INSERT INTO users (email, name, role, password_hash, created_at, updated_at)
VALUES (:email, :name, :role, :password_hash, :now, :now) RETURNING id;

-- name: seed_house!
INSERT INTO users (email, name, role, created_at, updated_at)
SELECT CAST(:email AS TEXT), CAST(:name AS TEXT), 'admin', CAST(:now AS BIGINT), CAST(:now AS BIGINT)
WHERE NOT EXISTS (SELECT 1 FROM users WHERE email = :email);

-- name: user_of_email^
SELECT id, password_hash FROM users WHERE email = :email;

-- name: user^
SELECT id, email, name, role, avatar_url, bio, credit_balance, created_at, updated_at FROM users WHERE id = :id;

-- name: update_user!
UPDATE users SET name = :name, bio = :bio, avatar_url = :avatar_url, updated_at = :now WHERE id = :id;

-- name: set_role!
UPDATE users SET role = :role, updated_at = :now WHERE id = :id;

-- name: set_password!
UPDATE users SET password_hash = :password_hash WHERE id = :id;

-- name: lock_user^
SELECT id, credit_balance FROM users WHERE id = :id /*for update*/;

-- name: insert_transaction^
INSERT INTO credit_transactions (user_id, amount, type, task_id, counterparty_id, description, balance_after, created_at)
VALUES (:user_id, :amount, :type, :task_id, :counterparty_id, :description, :balance_after, :now) RETURNING id;

-- name: transactions_of_user
SELECT id, amount, type, task_id, counterparty_id, description, balance_after, created_at FROM credit_transactions
WHERE user_id = :user_id AND id < :id ORDER BY id DESC LIMIT :count;

-- name: insert_session!
INSERT INTO hive_sessions (token_hash, user_id, created_at, expires_at)
VALUES (:token_hash, :user_id, :now, :expires_at);

-- name: session^
SELECT s.user_id, s.expires_at, u.role FROM hive_sessions s JOIN users u ON u.id = s.user_id
WHERE s.token_hash = :token_hash AND s.expires_at > :now;

-- name: delete_session!
DELETE FROM hive_sessions WHERE token_hash = :token_hash;

-- name: forget_sessions!
DELETE FROM hive_sessions WHERE expires_at <= :now;

-- name: insert_webhook^
INSERT INTO webhooks (agent_id, owner, url, secret, events, secret_prefix, is_profile, created_at)
VALUES (:agent_id, :owner, :url, :secret, :events, :secret_prefix, :is_profile, :now) RETURNING id;

-- name: set_secret!
UPDATE webhooks SET secret = :secret WHERE id = :id;

-- name: rotate_secret!
UPDATE webhooks SET secret = :secret, secret_prefix = :secret_prefix, previous_secret = :previous_secret,
    previous_until = :previous_until
WHERE id = :id;

-- name: webhook^
SELECT id, agent_id, owner, url, secret, events, is_active, failure_count, secret_prefix, is_profile, created_at,
       last_triggered_at
FROM webhooks WHERE id = :id AND agent_id = :agent_id;

-- name: webhooks_of_agent
SELECT id, agent_id, url, events, is_active, failure_count, secret_prefix, is_profile, created_at, last_triggered_at
FROM webhooks WHERE agent_id = :agent_id ORDER BY id;

-- name: count_webhooks^
SELECT count(*) AS webhooks FROM webhooks WHERE agent_id = :agent_id AND is_profile = 0;

-- name: profile_webhook^
SELECT id, url, is_active FROM webhooks WHERE agent_id = :agent_id AND is_profile = 1;

-- name: delete_webhook!
DELETE FROM webhooks WHERE id = :id;

-- name: tell_matches!
INSERT INTO outbox (receiver, endpoint, kind, subject, detail, created_at)
SELECT 'agent:' || id, 'hive', 'task.new_match', CAST(:subject AS TEXT), CAST(:detail AS TEXT), CAST(:now AS BIGINT)
FROM (SELECT a.id FROM agent_categories g JOIN agents a ON a.id = g.agent_id
      WHERE g.category_id = :category_id AND a.status = 'active' AND a.id <> :but_not
      ORDER BY a.reputation_score DESC, a.id LIMIT :count) matching ORDER BY id;

-- name: tell_matching_webhooks!
INSERT INTO outbox (receiver, endpoint, kind, subject, detail, created_at)
SELECT 'webhook:' || w.id, 'webhook', 'task.new_match', CAST(:subject AS TEXT), CAST(:detail AS TEXT),
       CAST(:now AS BIGINT)
FROM (SELECT a.id FROM agent_categories g JOIN agents a ON a.id = g.agent_id
      WHERE g.category_id = :category_id AND a.status = 'active' AND a.id <> :but_not
      ORDER BY a.reputation_score DESC, a.id LIMIT :count) matching
JOIN webhooks w ON w.agent_id = matching.id
WHERE w.is_active = 1 AND w.events LIKE '%"task.new_match"%' ORDER BY w.id;

-- name: forget_events!
DELETE FROM outbox WHERE endpoint IN ('hive', 'webhook') AND created_at < :before;

-- name: reply^
SELECT request_hash, reply, created_at FROM hive_replies WHERE owner = :owner AND key = :key;

-- name: insert_reply!
INSERT INTO hive_replies (owner, key, request_hash, reply, created_at)
VALUES (:owner, :key, :request_hash, :reply, :now);

-- name: forget_reply!
DELETE FROM hive_replies WHERE owner = :owner AND key = :key AND created_at <= :before;

-- name: forget_replies!
DELETE FROM hive_replies WHERE created_at <= :before;

-- name: count_tasks
SELECT status, count(*) AS tasks FROM hive_tasks GROUP BY status;

-- name: count_agents_by_status
SELECT status, count(*) AS agents FROM agents GROUP BY status;
