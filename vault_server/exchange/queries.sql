-- name: insert_participant!
INSERT INTO participants (hotkey, fingerprint, registered_at)
VALUES (:hotkey, :fingerprint, :registered_at)
ON CONFLICT (hotkey) DO NOTHING;

-- name: insert_push!
INSERT INTO outbox (receiver, endpoint, kind, subject, detail, standing, created_at)
VALUES (:receiver, :endpoint, :kind, :subject, :detail, :standing, :created_at);

-- name: withdraw_push!
DELETE FROM outbox WHERE receiver = :receiver AND endpoint = :endpoint AND kind = :kind AND subject = :subject;

-- name: acknowledge_push!
DELETE FROM outbox WHERE seq = :seq AND receiver = :receiver AND endpoint = :endpoint AND standing = 0;

-- name: pushes_since
SELECT seq, receiver, endpoint, kind, subject, detail, standing FROM outbox
WHERE seq > :seq ORDER BY seq LIMIT :count;

-- name: pushes_of_receiver
SELECT seq, receiver, endpoint, kind, subject, detail, standing FROM outbox
WHERE receiver = :receiver AND endpoint = :endpoint AND seq > :seq ORDER BY seq LIMIT :count;

-- name: node^
SELECT run, since, lease_until FROM nodes WHERE node = :node /*for update*/;

-- name: enter_node!
INSERT INTO nodes (node, run, since, lease_until) VALUES (:node, :run, :since, :lease_until)
ON CONFLICT (node) DO UPDATE SET run = excluded.run, since = excluded.since, lease_until = excluded.lease_until;

-- name: renew_lease!
UPDATE nodes SET since = :since, lease_until = :lease_until WHERE node = :node AND run = :run;

-- name: leave_node!
DELETE FROM nodes WHERE node = :node AND run = :run;

-- name: nodes_gone
SELECT node FROM nodes WHERE node <> :node AND lease_until < :now ORDER BY node /*for update skip locked*/;

-- name: other_nodes
SELECT node FROM nodes WHERE node <> :node ORDER BY node /*for update*/;

-- name: forget_node!
DELETE FROM nodes WHERE node = :node;

-- name: node_that_was_there^
SELECT node FROM nodes WHERE node <> :node AND lease_until >= :now AND since <= :since LIMIT 1;

-- name: count_nodes^
SELECT count(*) AS nodes FROM nodes WHERE lease_until >= :now;

-- name: bans_lifted
SELECT DISTINCT subject FROM bans WHERE lifted_at >= :since;

-- name: running_transactions^
SELECT 0 AS oldest, 0 AS next;

-- name: last_push^
SELECT coalesce(max(seq), 0) AS seq FROM outbox;

-- name: count_pushes^
SELECT count(*) AS waiting FROM (SELECT seq FROM outbox LIMIT :count) AS counted;

-- name: set_deadline!
INSERT INTO deadlines (name, subject, due) VALUES (:name, :subject, :due)
ON CONFLICT (name, subject) DO UPDATE SET due = excluded.due;

-- name: clear_deadline!
DELETE FROM deadlines WHERE name = :name AND subject = :subject;

-- name: take_deadline!
DELETE FROM deadlines WHERE name = :name AND subject = :subject AND due <= :now;

-- name: postpone_deadline!
UPDATE deadlines SET due = :due WHERE name = :name AND subject = :subject;

-- name: deadlines_due
SELECT name, subject, due FROM deadlines WHERE due <= :now ORDER BY due LIMIT :count;

-- name: next_deadline^
SELECT min(due) AS due FROM deadlines;

-- name: idempotent_outcome^
SELECT request_hash, outcome FROM idempotency WHERE owner = :owner AND key = :key /*for update*/;

-- name: insert_idempotent!
INSERT INTO idempotency (owner, key, request_hash, outcome, created_at)
VALUES (:owner, :key, :request_hash, :outcome, :created_at);

-- name: forget_idempotent!
DELETE FROM idempotency WHERE created_at < :created_before;

-- name: master_keys
SELECT version, check_value FROM master_keys ORDER BY version;

-- name: insert_master_key!
INSERT INTO master_keys (version, check_value, created_at) VALUES (:version, :check_value, :created_at);

-- name: delete_master_key!
DELETE FROM master_keys WHERE version = :version;

-- name: meta^
SELECT value FROM meta WHERE name = :name;

-- name: set_meta!
INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: delete_meta!
DELETE FROM meta WHERE name = :name;

-- name: insert_score_change!
INSERT INTO score_history (standing, hotkey, score_change, score_after, reason, task_id, created_at)
SELECT :standing, hotkey, :score_change, :score_after, :reason, :task_id, :created_at FROM participants
WHERE fingerprint = :fingerprint;

-- name: insert_agent_score_change!
INSERT INTO score_history (standing, agent_id, score_change, score_after, reason, task_id, created_at)
VALUES ('agent', :agent_id, :score_change, :score_after, :reason, :task_id, :created_at);

-- name: score_change^
SELECT standing, score_change, score_after, reason, task_id FROM score_history WHERE id = :id;

-- name: insert_ban!
INSERT INTO bans (subject, cause, reason, created_at, until)
VALUES (:subject, :cause, :reason, :created_at, :until);

-- name: count_recent_bans^
SELECT count(*) AS bans FROM bans
WHERE subject = :subject AND cause = 'rate_limit' AND lifted_at IS NULL AND until > :since;

-- name: longest_ban^
SELECT until, reason FROM bans WHERE subject = :subject AND lifted_at IS NULL AND until > :now
ORDER BY until DESC, id DESC LIMIT 1;

-- name: lift_bans!
UPDATE bans SET lifted_at = :now WHERE subject = :subject AND lifted_at IS NULL AND until > :now;

-- name: bans_in_force
SELECT subject, cause, reason, created_at, until, lifted_at FROM bans WHERE lifted_at IS NULL AND until > :now
ORDER BY until, id;

-- name: count_keys_banned^
SELECT count(DISTINCT subject) AS keys FROM bans WHERE lifted_at IS NULL AND until > :now;

-- name: bans_of_subject
SELECT subject, cause, reason, created_at, until, lifted_at FROM bans WHERE subject = :subject
ORDER BY id DESC LIMIT :count;

-- name: forget_bans!
DELETE FROM bans WHERE until < :until_before;
