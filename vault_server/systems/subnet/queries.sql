-- name: participant^
SELECT hotkey, fingerprint, reputation_score, registered_at FROM participants WHERE hotkey = :hotkey;

-- name: lock_participant^
SELECT hotkey, fingerprint, reputation_score, registered_at FROM participants WHERE hotkey = :hotkey /*for update*/;

-- name: roles^
SELECT CASE WHEN EXISTS (SELECT 1 FROM subnet_tasks WHERE validator_hotkey = :hotkey) THEN 1 ELSE 0 END AS validator,
       CASE WHEN EXISTS (SELECT 1 FROM subnet_tasks WHERE assigned_miner_hotkey = :hotkey)
              OR EXISTS (SELECT 1 FROM completions c JOIN subnet_tasks t ON t.id = c.task_id
                         WHERE c.hotkey = :hotkey AND t.validator_hotkey <> :hotkey) THEN 1 ELSE 0 END AS generator,
       CASE WHEN EXISTS (SELECT 1 FROM votes WHERE voter_hotkey = :hotkey) THEN 1 ELSE 0 END AS discriminator,
       CASE WHEN EXISTS (SELECT 1 FROM miner_contributors WHERE contributor_hotkey = :hotkey AND revoked_at IS NULL)
            THEN 1 ELSE 0 END AS contributor;

-- name: score_changes
SELECT id, score_change, score_after, reason, task_id, created_at FROM score_history
WHERE hotkey = :hotkey AND standing = 'participant' AND id < :before ORDER BY id DESC LIMIT :count;

-- name: presence^
SELECT is_online, mining, judging, has_mined FROM subnet_presence WHERE hotkey = :hotkey AND node = :node /*for update*/;

-- name: set_presence!
INSERT INTO subnet_presence (hotkey, node, is_online, mining, judging, has_mined)
VALUES (:hotkey, :node, 1, :mining, :judging, :has_mined)
ON CONFLICT (hotkey, node) DO UPDATE
SET is_online = 1, mining = excluded.mining, judging = excluded.judging, has_mined = excluded.has_mined;

-- name: leave!
UPDATE subnet_presence SET is_online = 0 WHERE hotkey = :hotkey AND node = :node AND is_online <> 0;

-- name: nobody_is_there!
UPDATE subnet_presence SET is_online = 0 WHERE is_online <> 0;

-- name: nobody_is_at_node!
UPDATE subnet_presence SET is_online = 0 WHERE node = :node AND is_online <> 0;

-- name: node_is_gone!
UPDATE subnet_presence SET is_online = 2 WHERE node = :node AND is_online = 1;

-- name: node_is_back!
UPDATE subnet_presence SET is_online = 1 WHERE node = :node AND is_online = 2;

-- name: has_mined^
SELECT 1 AS found FROM subnet_presence WHERE hotkey = :hotkey AND has_mined = 1 LIMIT 1;

-- name: miners_available
SELECT p.hotkey, p.reputation_score, (
    SELECT count(*) FROM subnet_tasks t WHERE t.assigned_miner_hotkey = p.hotkey AND t.status = 'assigned') AS open_tasks
FROM participants p
WHERE p.hotkey IN (SELECT hotkey FROM subnet_presence WHERE is_online = 1 AND mining = 1) AND p.hotkey <> :validator
  AND NOT EXISTS (
    SELECT 1 FROM miner_contributors l WHERE l.revoked_at IS NULL
      AND ((l.contributor_hotkey = p.hotkey AND l.miner_hotkey = :validator)
        OR (l.contributor_hotkey = :validator AND l.miner_hotkey = p.hotkey)))
ORDER BY open_tasks, p.reputation_score DESC, p.hotkey LIMIT :count;

-- name: partnership^
SELECT contributor_hotkey FROM miner_contributors WHERE revoked_at IS NULL
  AND ((contributor_hotkey = :one AND miner_hotkey = :other) OR (contributor_hotkey = :other AND miner_hotkey = :one));

-- name: count_in_hand^
SELECT count(*) AS tasks FROM subnet_tasks WHERE assigned_miner_hotkey = :hotkey AND status = 'assigned';

-- name: count_open^
SELECT count(*) AS tasks FROM subnet_tasks
WHERE validator_hotkey = :hotkey AND (status = 'assigned' OR status = 'submitted');

-- name: insert_task^
INSERT INTO subnet_tasks (task_type, task_metadata, validator_hotkey, validator_completion_id, assigned_miner_hotkey,
                          status, expire_at, blames_miner, created_at, updated_at)
VALUES (:task_type, :task_metadata, :validator_hotkey, 0, :assigned_miner_hotkey,
        :status, :expire_at, :blames_miner, :created_at, :created_at)
RETURNING id;

-- name: insert_completion^
INSERT INTO completions (hotkey, task_id, completion, created_at, updated_at)
VALUES (:hotkey, :task_id, :completion, :created_at, :created_at) RETURNING id;

-- name: set_reference!
UPDATE subnet_tasks SET validator_completion_id = :completion_id WHERE id = :id AND validator_completion_id = 0;

-- name: task^
SELECT * FROM subnet_tasks WHERE id = :id /*for update*/;

-- name: task_seen^
SELECT * FROM subnet_tasks WHERE id = :id;

-- name: submit_task!
UPDATE subnet_tasks SET status = :status, submitted_at = :now, voting_closes_at = :voting_closes_at, updated_at = :now
WHERE id = :id AND status = :expected;

-- name: end_task!
UPDATE subnet_tasks SET status = :status, updated_at = :now WHERE id = :id AND status = :expected;

-- name: score_task!
UPDATE subnet_tasks SET status = :status, scored_at = :now, updated_at = :now WHERE id = :id AND status = :expected;

-- name: completions_of_task
SELECT id, hotkey, completion FROM completions WHERE task_id = :task_id ORDER BY id;

-- name: completion_by^
SELECT id FROM completions WHERE task_id = :task_id AND hotkey = :hotkey;

-- name: tell_parties!
INSERT INTO outbox (receiver, endpoint, kind, subject, created_at)
SELECT 'key:' || p.fingerprint, 'subnet', CAST(:kind AS TEXT), CAST(:subject AS TEXT), CAST(:now AS BIGINT)
FROM (SELECT validator_hotkey AS hotkey FROM subnet_tasks WHERE id = :task_id
      UNION SELECT assigned_miner_hotkey FROM subnet_tasks WHERE id = :task_id
      UNION SELECT l.contributor_hotkey FROM subnet_tasks t
            JOIN miner_contributors l ON l.miner_hotkey = t.assigned_miner_hotkey
            WHERE t.id = :task_id AND l.revoked_at IS NULL) told
JOIN participants p ON p.hotkey = told.hotkey WHERE told.hotkey <> :leave_out ORDER BY told.hotkey;

-- name: tell_scored!
INSERT INTO outbox (receiver, endpoint, kind, subject, created_at)
SELECT 'key:' || p.fingerprint, 'subnet', 'task_scored', CAST(:subject AS TEXT), CAST(:now AS BIGINT)
FROM (SELECT assigned_miner_hotkey AS hotkey FROM subnet_tasks WHERE id = :task_id
      UNION SELECT hotkey FROM completions WHERE task_id = :task_id
      UNION SELECT voter_hotkey FROM votes WHERE task_id = :task_id
      UNION SELECT l.contributor_hotkey FROM subnet_tasks t
            JOIN miner_contributors l ON l.miner_hotkey = t.assigned_miner_hotkey
            WHERE t.id = :task_id AND l.revoked_at IS NULL) told
JOIN participants p ON p.hotkey = told.hotkey ORDER BY told.hotkey;

-- name: ask_voters!
INSERT INTO outbox (receiver, endpoint, kind, subject, standing, created_at)
SELECT 'key:' || fingerprint, 'subnet', 'vote_requested', CAST(task_id AS TEXT), 1, CAST(:now AS BIGINT) FROM (
    SELECT v.task_id, v.hotkey, v.fingerprint, (
        SELECT count(*) FROM outbox o WHERE o.receiver = 'key:' || v.fingerprint AND o.endpoint = 'subnet'
          AND o.kind = 'vote_requested') AS asked
    FROM subnet_voters v
    WHERE v.task_id = :task_id
      AND v.hotkey IN (SELECT hotkey FROM subnet_presence WHERE is_online = 1 AND judging = 1)) present
WHERE asked < :asks_max ORDER BY asked, hotkey LIMIT :voters_max;

-- name: count_asks^
SELECT count(*) AS asked FROM outbox
WHERE receiver = :receiver AND endpoint = 'subnet' AND kind = 'vote_requested';

-- name: ask_voter!
INSERT INTO outbox (receiver, endpoint, kind, subject, standing, created_at)
SELECT 'key:' || v.fingerprint, 'subnet', 'vote_requested', CAST(v.task_id AS TEXT), 1, CAST(:now AS BIGINT)
FROM subnet_voters v
WHERE v.hotkey = :hotkey AND v.voting_closes_at > :now
  AND NOT EXISTS (SELECT 1 FROM votes e WHERE e.task_id = v.task_id AND e.voter_hotkey = v.hotkey)
  AND (SELECT count(*) FROM outbox o WHERE o.standing = 1 AND o.kind = 'vote_requested'
       AND o.subject = CAST(v.task_id AS TEXT)) < :voters_max
  AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.standing = 1 AND o.kind = 'vote_requested'
                  AND o.subject = CAST(v.task_id AS TEXT) AND o.receiver = 'key:' || v.fingerprint)
ORDER BY v.task_id LIMIT :count;

-- name: voter^
SELECT hotkey FROM subnet_voters WHERE task_id = :task_id AND hotkey = :hotkey;

-- name: vote_of^
SELECT id, chosen_completion_id, weight FROM votes WHERE task_id = :task_id AND voter_hotkey = :voter;

-- name: cast_vote!
INSERT INTO votes (voter_hotkey, task_id, chosen_completion_id, against_completion_id, weight, created_at, updated_at)
VALUES (:voter, :task_id, :chosen, :against, :weight, :now, :now);

-- name: change_vote!
UPDATE votes SET chosen_completion_id = :chosen, against_completion_id = :against, weight = :weight, updated_at = :now
WHERE task_id = :task_id AND voter_hotkey = :voter;

-- name: votes_of_task
SELECT id, voter_hotkey, chosen_completion_id, against_completion_id, weight, created_at, updated_at FROM votes
WHERE task_id = :task_id AND id > :after ORDER BY id LIMIT :count;

-- name: votes_to_count
SELECT voter_hotkey, chosen_completion_id, weight FROM votes WHERE task_id = :task_id ORDER BY id;

-- name: awaited_voter^
SELECT v.hotkey FROM subnet_voters v
WHERE v.task_id = :task_id
  AND v.hotkey IN (SELECT hotkey FROM subnet_presence WHERE is_online = 1 AND judging = 1)
  AND NOT EXISTS (SELECT 1 FROM votes e WHERE e.task_id = v.task_id AND e.voter_hotkey = v.hotkey) LIMIT 1;

-- name: silent_voters
SELECT p.hotkey FROM outbox o JOIN participants p ON p.fingerprint = substr(o.receiver, 5)
WHERE o.standing = 1 AND o.kind = 'vote_requested' AND o.subject = :subject ORDER BY p.hotkey;

-- name: scores_of_task
SELECT hotkey, score_change, score_after, reason FROM score_history
WHERE task_id = :task_id AND standing = 'participant' ORDER BY id LIMIT :count;

-- name: link^
SELECT contributor_hotkey, miner_hotkey, created_at, revoked_at FROM miner_contributors
WHERE contributor_hotkey = :contributor /*for update*/;

-- name: link_seen^
SELECT contributor_hotkey, miner_hotkey, created_at, revoked_at FROM miner_contributors
WHERE contributor_hotkey = :contributor;

-- name: count_contributors^
SELECT count(*) AS contributors FROM miner_contributors WHERE miner_hotkey = :miner AND revoked_at IS NULL;

-- name: insert_link!
INSERT INTO miner_contributors (contributor_hotkey, miner_hotkey, created_at)
VALUES (:contributor, :miner, :created_at);

-- name: link_again!
UPDATE miner_contributors SET miner_hotkey = :miner, created_at = :created_at, revoked_at = NULL
WHERE contributor_hotkey = :contributor AND revoked_at IS NOT NULL;

-- name: revoke_link!
UPDATE miner_contributors SET revoked_at = :now
WHERE contributor_hotkey = :contributor AND miner_hotkey = :miner AND revoked_at IS NULL;

-- name: contributors_of_miner
SELECT contributor_hotkey, created_at, revoked_at FROM miner_contributors WHERE miner_hotkey = :miner
ORDER BY CASE WHEN revoked_at IS NULL THEN 0 ELSE 1 END, created_at DESC, contributor_hotkey LIMIT :count;

-- name: tasks_of_validator
SELECT * FROM subnet_tasks WHERE validator_hotkey = :hotkey AND id < :before ORDER BY id DESC LIMIT :count;

-- name: tasks_of_validator_in
SELECT * FROM subnet_tasks WHERE validator_hotkey = :hotkey AND status = :status AND id < :before
ORDER BY id DESC LIMIT :count;

-- name: tasks_of_miner
SELECT * FROM subnet_tasks WHERE assigned_miner_hotkey = :hotkey AND id < :before ORDER BY id DESC LIMIT :count;

-- name: tasks_of_miner_in
SELECT * FROM subnet_tasks WHERE assigned_miner_hotkey = :hotkey AND status = :status AND id < :before
ORDER BY id DESC LIMIT :count;

-- name: tasks_of_voter
SELECT t.id, t.task_type, t.status, t.voting_closes_at, t.expire_at, t.scored_at,
       CASE WHEN EXISTS (SELECT 1 FROM votes e WHERE e.task_id = t.id AND e.voter_hotkey = :hotkey)
            THEN 1 ELSE 0 END AS voted
FROM subnet_tasks t
WHERE t.id IN (SELECT task_id FROM votes WHERE voter_hotkey = :hotkey AND task_id < :before
               UNION SELECT task_id FROM subnet_voters
               WHERE hotkey = :hotkey AND task_id < :before AND voting_closes_at > :now)
  AND (CAST(:status AS TEXT) IS NULL OR t.status = :status)
ORDER BY t.id DESC LIMIT :count;

-- name: excuse_tasks!
UPDATE subnet_tasks SET expire_at = :until
WHERE status = 'assigned' AND id IN (
    SELECT CAST(subject AS BIGINT) FROM deadlines WHERE name = 'expire_subnet_task' AND due < :until);

-- name: postpone_expiries!
UPDATE deadlines SET due = :until WHERE name = 'expire_subnet_task' AND due < :until;

-- name: prolong_votings!
UPDATE subnet_tasks SET voting_closes_at = :until
WHERE status = 'submitted' AND id IN (
    SELECT CAST(subject AS BIGINT) FROM deadlines WHERE name = 'close_voting' AND due < :until);

-- name: postpone_closings!
UPDATE deadlines SET due = :until WHERE name = 'close_voting' AND due < :until;

-- name: count_tasks
SELECT status, count(*) AS tasks FROM subnet_tasks GROUP BY status;

-- name: count_online^
SELECT count(DISTINCT hotkey) AS participants, count(DISTINCT CASE WHEN mining = 1 THEN hotkey END) AS miners,
       count(DISTINCT CASE WHEN judging = 1 THEN hotkey END) AS judges
FROM subnet_presence WHERE is_online = 1;

-- name: key_of^
SELECT hotkey FROM participants WHERE fingerprint = substr(:receiver, 5);

-- name: participant_by_fingerprint^
SELECT hotkey FROM participants WHERE fingerprint = :fingerprint;
