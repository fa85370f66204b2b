-- What must never be found in the subnet: each statement gives the rows that break one invariant.

-- name: references_of_others
SELECT t.id, t.validator_completion_id FROM subnet_tasks t WHERE NOT EXISTS (
    SELECT 1 FROM completions c
    WHERE c.id = t.validator_completion_id AND c.task_id = t.id AND c.hotkey = t.validator_hotkey);

-- name: answers_that_do_not_match
SELECT t.id, t.status, count(c.id) AS answers FROM subnet_tasks t
LEFT JOIN completions c ON c.task_id = t.id AND c.hotkey <> t.validator_hotkey
GROUP BY t.id, t.status
HAVING count(c.id) <> CASE WHEN t.status IN ('submitted', 'scored') THEN 1 ELSE 0 END;

-- name: strangers_answers
SELECT c.id, c.hotkey, c.task_id FROM completions c JOIN subnet_tasks t ON t.id = c.task_id
WHERE c.hotkey <> t.validator_hotkey AND c.hotkey <> t.assigned_miner_hotkey
  AND NOT EXISTS (SELECT 1 FROM miner_contributors l WHERE l.contributor_hotkey = c.hotkey);

-- name: late_answers
SELECT c.id, c.task_id FROM completions c JOIN subnet_tasks t ON t.id = c.task_id
WHERE c.hotkey <> t.validator_hotkey AND (c.created_at >= t.expire_at OR c.created_at <> t.submitted_at);

-- name: votes_of_parties
SELECT v.id, v.task_id, v.voter_hotkey FROM votes v JOIN subnet_tasks t ON t.id = v.task_id
WHERE v.voter_hotkey = t.validator_hotkey OR v.voter_hotkey = t.assigned_miner_hotkey
   OR EXISTS (SELECT 1 FROM completions c WHERE c.task_id = t.id AND c.hotkey = v.voter_hotkey);

-- name: votes_of_latecomers
SELECT v.id, v.task_id, v.voter_hotkey FROM votes v JOIN subnet_tasks t ON t.id = v.task_id
JOIN participants p ON p.hotkey = v.voter_hotkey
WHERE t.submitted_at IS NULL OR p.registered_at >= t.submitted_at OR v.created_at < t.submitted_at
   OR v.updated_at >= t.voting_closes_at;

-- name: unfinished_without_deadline
SELECT t.id, t.status, t.expire_at, t.voting_closes_at, d.due FROM subnet_tasks t LEFT JOIN deadlines d
    ON d.subject = CAST(t.id AS TEXT)
   AND d.name = CASE t.status WHEN 'assigned' THEN 'expire_subnet_task' ELSE 'close_voting' END
WHERE t.status IN ('assigned', 'submitted')
  AND (d.due IS NULL OR d.due < CASE t.status WHEN 'assigned' THEN t.expire_at ELSE t.voting_closes_at END);

-- name: deadlines_of_the_finished
SELECT d.name, d.subject FROM deadlines d WHERE d.name IN ('expire_subnet_task', 'close_voting') AND NOT EXISTS (
    SELECT 1 FROM subnet_tasks t WHERE t.id = CAST(d.subject AS BIGINT)
      AND t.status = CASE d.name WHEN 'expire_subnet_task' THEN 'assigned' ELSE 'submitted' END);

-- name: work_without_a_request
SELECT t.id, w.hotkey FROM subnet_tasks t JOIN (
    SELECT id AS task_id, assigned_miner_hotkey AS hotkey FROM subnet_tasks WHERE status = 'assigned'
    UNION ALL
    SELECT t.id, l.contributor_hotkey FROM subnet_tasks t JOIN miner_contributors l
        ON l.miner_hotkey = t.assigned_miner_hotkey AND l.revoked_at IS NULL WHERE t.status = 'assigned') w
    ON w.task_id = t.id
JOIN participants p ON p.hotkey = w.hotkey
WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE o.standing = 1 AND o.kind = 'task_assigned'
                  AND o.subject = CAST(t.id AS TEXT) AND o.receiver = 'key:' || p.fingerprint);

-- name: requests_without_work
SELECT o.seq, o.kind, o.subject, o.receiver FROM outbox o
WHERE o.standing = 1 AND o.kind IN ('task_assigned', 'vote_requested') AND NOT EXISTS (
    SELECT 1 FROM subnet_tasks t WHERE t.id = CAST(o.subject AS BIGINT)
      AND t.status = CASE o.kind WHEN 'task_assigned' THEN 'assigned' ELSE 'submitted' END);

-- name: requests_of_strangers
SELECT o.seq, o.subject, p.hotkey FROM outbox o JOIN participants p ON o.receiver = 'key:' || p.fingerprint
JOIN subnet_tasks t ON t.id = CAST(o.subject AS BIGINT)
WHERE o.standing = 1 AND o.kind = 'task_assigned' AND p.hotkey <> t.assigned_miner_hotkey AND NOT EXISTS (
    SELECT 1 FROM miner_contributors l WHERE l.contributor_hotkey = p.hotkey
      AND l.miner_hotkey = t.assigned_miner_hotkey AND l.revoked_at IS NULL);

-- name: asks_of_those_who_may_not
SELECT o.seq, o.subject, p.hotkey FROM outbox o JOIN participants p ON o.receiver = 'key:' || p.fingerprint
WHERE o.standing = 1 AND o.kind = 'vote_requested' AND (
    NOT EXISTS (SELECT 1 FROM subnet_voters v WHERE v.task_id = CAST(o.subject AS BIGINT) AND v.hotkey = p.hotkey)
    OR EXISTS (SELECT 1 FROM votes e WHERE e.task_id = CAST(o.subject AS BIGINT) AND e.voter_hotkey = p.hotkey));

-- name: scores_without_history
SELECT p.hotkey, p.reputation_score AS score, 50 + coalesce(h.moved, 0) AS found FROM participants p LEFT JOIN (
    SELECT hotkey, sum(score_change) AS moved FROM score_history WHERE standing = 'participant' GROUP BY hotkey) h
    ON h.hotkey = p.hotkey
WHERE abs(p.reputation_score - 50 - coalesce(h.moved, 0)) >= 0.0000005;

-- name: scores_of_unscored_tasks
SELECT h.id, h.task_id, h.reason FROM score_history h LEFT JOIN subnet_tasks t ON CAST(t.id AS TEXT) = h.task_id
WHERE h.standing = 'participant' AND h.task_id IS NOT NULL
  AND (t.id IS NULL OR t.status <> CASE h.reason WHEN 'task_expired' THEN 'expired' ELSE 'scored' END);

-- name: scored_twice
SELECT hotkey, task_id, reason, count(*) AS number FROM score_history
WHERE standing = 'participant' AND task_id IS NOT NULL GROUP BY hotkey, task_id, reason HAVING count(*) > 1;

-- name: contributors_of_themselves
SELECT contributor_hotkey FROM miner_contributors
WHERE contributor_hotkey = miner_hotkey OR revoked_at < created_at;
