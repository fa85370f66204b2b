-- What operators ask of the vault. No statement here reads a parameter, an answer or a factor.

-- name: tasks_by_name
SELECT fingerprint, status, created_at FROM tasks
WHERE fingerprint >= :first AND fingerprint < :behind ORDER BY fingerprint LIMIT :count;

-- name: explained_task^
SELECT fingerprint, client_id, status, judging, judged_by, proof, is_trap, reason, modulus_bits, effort, open_slots, num_assignments,
       num_returned, promised_by, created_at, updated_at, answered_at,
       CASE WHEN commitment IS NULL THEN 0 ELSE 1 END AS has_commitment
FROM tasks WHERE fingerprint = :task;

-- name: explained_assignments
SELECT db_key, solver_id, slot, status, deadline, complaint_deadline, ranking, assigned_at, accepted_at, delivered_at,
       ended_at, excused, late_until
FROM task_assignments WHERE task_id = :task ORDER BY db_key;

-- name: explained_proofs
SELECT p.assignment_id, p.status, p.received_at, p.checked_at
FROM proofs p JOIN task_assignments a ON a.db_key = p.assignment_id WHERE a.task_id = :task;

-- name: explained_relays
SELECT assignment_id, depth, count, checked, status, taken_at FROM relays WHERE task_id = :task;

-- name: explained_complaints
SELECT id, client_id, kind, status, ruling, created_at, respond_by, ruled_at,
       CASE WHEN factor IS NULL THEN 0 ELSE 1 END AS has_factor
FROM complaints WHERE task_id = :task ORDER BY id;

-- name: explained_parties
SELECT p.complaint_id, p.assignment_id, p.response, p.responded_at, a.solver_id
FROM complaint_parties p JOIN complaints c ON c.id = p.complaint_id JOIN task_assignments a ON a.db_key = p.assignment_id
WHERE c.task_id = :task ORDER BY p.complaint_id, p.assignment_id;

-- name: explained_scores
SELECT h.id, h.standing, p.fingerprint, h.score_change, h.score_after, h.reason, h.created_at
FROM score_history h JOIN participants p ON p.hotkey = h.hotkey WHERE h.task_id = :task ORDER BY h.id;

-- name: solvers_by_standing
SELECT solver_id, is_online, state, reputation_score, band, capacity, announced, in_hand, tasks_taken, valid_answers,
       modulus_bits_max, observed_speed, last_assigned_at
FROM solvers ORDER BY reputation_score DESC, valid_answers DESC, solver_id LIMIT :count;

-- name: solvers_counted^
SELECT count(*) AS known, coalesce(sum(is_online), 0) AS online,
       coalesce(sum(CASE WHEN is_online = 1 AND state = 'ready' THEN capacity ELSE 0 END), 0) AS capacity,
       coalesce(sum(in_hand), 0) AS in_hand
FROM solvers;

-- name: tasks_by_status
SELECT status, count(*) AS tasks FROM tasks GROUP BY status;

-- name: complaints_unruled^
SELECT count(*) AS complaints FROM complaints WHERE ruled_at IS NULL;
