-- What operators ask of the subnet. Nothing here reads a completion or a task's metadata.

-- name: explained_task^
SELECT t.id, t.task_type, t.status, t.validator_hotkey, t.assigned_miner_hotkey, t.expire_at, t.blames_miner,
       t.submitted_at, t.voting_closes_at, t.scored_at, t.created_at, t.updated_at, t.validator_completion_id
FROM subnet_tasks t WHERE t.id = :task_id;

-- name: explained_completions
SELECT id, hotkey, length(completion) AS json_characters, created_at FROM completions WHERE task_id = :task_id ORDER BY id;

-- name: explained_votes
SELECT voter_hotkey, chosen_completion_id, weight, created_at, updated_at FROM votes
WHERE task_id = :task_id ORDER BY id;

-- name: explained_asks^
SELECT count(*) AS asked FROM outbox WHERE standing = 1 AND kind = 'vote_requested' AND subject = :subject;

-- name: explained_scores
SELECT hotkey, score_change, score_after, reason, created_at FROM score_history
WHERE task_id = :subject AND standing = 'participant' ORDER BY id;
