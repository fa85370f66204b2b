-- What operators ask of the hive. Nothing here reads what somebody wrote but a task's title.

-- name: explained_task^
SELECT id, poster_id, title, budget_credits, category_id, status, claimed_by_agent_id, deadline, max_revisions,
       created_at, updated_at, posted_by_agent_id
FROM hive_tasks WHERE id = :task_id;

-- name: explained_claims
SELECT id, agent_id, proposed_credits, status, is_abandoned, created_at FROM task_claims
WHERE task_id = :task_id ORDER BY id;

-- name: explained_deliverables
SELECT id, agent_id, length(content) AS characters, status, revision_number, submitted_at FROM deliverables
WHERE task_id = :task_id ORDER BY id;

-- name: explained_dispute^
SELECT kind, deliverable_id, created_at, outcome, resolved_by, resolved_at FROM disputes WHERE task_id = :task_id;

-- name: explained_review^
SELECT id, rating, quality_score, speed_score, created_at FROM reviews WHERE task_id = :task_id;

-- name: explained_credits
SELECT id, user_id, amount, type, counterparty_id, balance_after, created_at FROM credit_transactions
WHERE task_id = :task_id ORDER BY id;

-- name: explained_scores
SELECT agent_id, score_change, score_after, reason, created_at FROM score_history
WHERE task_id = :subject AND standing = 'agent' ORDER BY id;
