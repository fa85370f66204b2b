-- What must never be found in the hive: each statement gives the rows that break one invariant.

-- name: broken_ledgers
SELECT id, user_id, amount, balance_after, before FROM (
    SELECT id, user_id, amount, balance_after,
           lag(balance_after, 1, 0) OVER (PARTITION BY user_id ORDER BY id) AS before
    FROM credit_transactions) links
WHERE balance_after <> before + amount ORDER BY id;

-- name: balances_without_ledger
SELECT u.id, u.credit_balance, (
    SELECT coalesce(sum(c.amount), 0) FROM credit_transactions c WHERE c.user_id = u.id) AS found
FROM users u WHERE u.credit_balance <> (
    SELECT coalesce(sum(c.amount), 0) FROM credit_transactions c WHERE c.user_id = u.id);

-- name: scores_without_history
SELECT a.id, a.reputation_score AS score, 50 + coalesce(h.moved, 0) AS found FROM agents a LEFT JOIN (
    SELECT agent_id, sum(score_change) AS moved FROM score_history WHERE standing = 'agent' GROUP BY agent_id) h
    ON h.agent_id = a.id
WHERE abs(a.reputation_score - 50 - coalesce(h.moved, 0)) >= 0.000001;

-- name: tasks_without_their_claim
SELECT t.id, t.status, count(k.id) AS claims FROM hive_tasks t
LEFT JOIN task_claims k ON k.task_id = t.id AND k.status = 'accepted'
    AND (k.agent_id = t.claimed_by_agent_id OR t.claimed_by_agent_id IS NULL)
GROUP BY t.id, t.status
HAVING count(k.id) <> CASE WHEN t.status IN ('claimed', 'in_progress', 'delivered', 'completed', 'disputed')
                             OR (t.status = 'cancelled' AND EXISTS (
                                 SELECT 1 FROM disputes d WHERE d.task_id = t.id)) THEN 1 ELSE 0 END;

-- name: claims_still_pending
SELECT k.id, k.task_id, t.status FROM task_claims k JOIN hive_tasks t ON t.id = k.task_id
WHERE k.status = 'pending' AND t.status <> 'open';

-- name: claims_above_budget
SELECT k.id, k.task_id, k.proposed_credits, t.budget_credits FROM task_claims k JOIN hive_tasks t ON t.id = k.task_id
WHERE k.proposed_credits > t.budget_credits;

-- name: work_that_does_not_match
SELECT t.id, t.status, count(CASE WHEN d.status = 'submitted' THEN 1 END) AS submitted,
       count(CASE WHEN d.status = 'accepted' THEN 1 END) AS accepted
FROM hive_tasks t LEFT JOIN deliverables d ON d.task_id = t.id
GROUP BY t.id, t.status
HAVING count(CASE WHEN d.status = 'accepted' THEN 1 END) <> CASE t.status WHEN 'completed' THEN 1 ELSE 0 END
    OR (t.status = 'delivered' AND count(CASE WHEN d.status = 'submitted' THEN 1 END) <> 1)
    OR (t.status NOT IN ('delivered', 'disputed') AND count(CASE WHEN d.status = 'submitted' THEN 1 END) <> 0);

-- name: misnumbered_work
SELECT id, task_id, agent_id, revision_number, place FROM (
    SELECT id, task_id, agent_id, revision_number,
           row_number() OVER (PARTITION BY task_id, agent_id ORDER BY id) AS place
    FROM deliverables) numbered WHERE revision_number <> place;

-- name: disputes_that_do_not_match
SELECT t.id, t.status, d.outcome FROM hive_tasks t LEFT JOIN disputes d ON d.task_id = t.id
WHERE (t.status = 'disputed' AND (d.task_id IS NULL OR d.outcome IS NOT NULL))
   OR (d.task_id IS NOT NULL AND t.status <> CASE d.outcome WHEN 'agent' THEN 'completed'
       WHEN 'poster' THEN 'cancelled' ELSE 'disputed' END);

-- name: payments_that_do_not_match
SELECT t.id, t.status, count(c.id) AS payments FROM hive_tasks t
LEFT JOIN credit_transactions c ON c.task_id = t.id AND c.type = 'payment'
GROUP BY t.id, t.status HAVING count(c.id) <> CASE t.status WHEN 'completed' THEN 1 ELSE 0 END;

-- name: payments_to_strangers
SELECT c.id, c.task_id, c.user_id FROM credit_transactions c JOIN hive_tasks t ON t.id = c.task_id
JOIN agents a ON a.id = t.claimed_by_agent_id
WHERE c.type = 'payment' AND (c.user_id <> a.operator_id OR c.counterparty_id <> t.poster_id);

-- name: counters_that_do_not_match
SELECT a.id, a.tasks_completed, (
    SELECT count(*) FROM hive_tasks t WHERE t.claimed_by_agent_id = a.id AND t.status = 'completed') AS found
FROM agents a WHERE a.tasks_completed <> (
    SELECT count(*) FROM hive_tasks t WHERE t.claimed_by_agent_id = a.id AND t.status = 'completed');

-- name: posters_that_do_not_match
SELECT u.id, coalesce(p.posted, 0) AS posted, coalesce(p.completed, 0) AS completed,
       coalesce(p.disputed, 0) AS disputed
FROM users u LEFT JOIN hive_posters p ON p.user_id = u.id LEFT JOIN (
    SELECT t.poster_id, count(*) AS posted, count(CASE WHEN t.status = 'completed' THEN 1 END) AS completed,
           count(d.task_id) AS disputed
    FROM hive_tasks t LEFT JOIN disputes d ON d.task_id = t.id GROUP BY t.poster_id) c ON c.poster_id = u.id
WHERE coalesce(p.posted, 0) <> coalesce(c.posted, 0) OR coalesce(p.completed, 0) <> coalesce(c.completed, 0)
   OR coalesce(p.disputed, 0) <> coalesce(c.disputed, 0);

-- name: ratings_that_do_not_match
SELECT a.id, a.avg_rating, r.mean FROM agents a LEFT JOIN (
    SELECT v.agent_id, avg(v.rating) AS mean FROM reviews v JOIN agents b ON b.id = v.agent_id
    WHERE v.reviewer_id <> b.operator_id GROUP BY v.agent_id) r ON r.agent_id = a.id
WHERE (a.avg_rating IS NULL) <> (r.mean IS NULL) OR abs(a.avg_rating - r.mean) > 0.000001;

-- name: misplaced_reviews
SELECT r.id, r.task_id FROM reviews r JOIN hive_tasks t ON t.id = r.task_id
WHERE t.status <> 'completed' OR r.reviewer_id <> t.poster_id OR r.agent_id <> t.claimed_by_agent_id;

-- name: users_without_bonus
SELECT u.id FROM users u WHERE u.password_hash IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM credit_transactions c WHERE c.user_id = u.id AND c.type = 'bonus');

-- name: deadlines_of_the_decided
SELECT d.subject FROM deadlines d WHERE d.name = 'accept_unreviewed' AND NOT EXISTS (
    SELECT 1 FROM hive_tasks t WHERE t.id = CAST(d.subject AS BIGINT) AND t.status = 'delivered');

-- name: claims_of_no_webhook
SELECT d.subject FROM deadlines d WHERE d.name = 'send_webhook' AND NOT EXISTS (
    SELECT 1 FROM webhooks w WHERE w.id = CAST(d.subject AS BIGINT) AND w.is_active = 1);

-- name: webhooks_not_given_up
SELECT id, failure_count FROM webhooks WHERE is_active = 1 AND failure_count >= 10;
