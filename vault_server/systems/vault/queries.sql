-- OR ROLLBACK stands where a statement's triggers write to several tables. Else SQLite copies each page that it touches,
-- to be able to undo this statement alone. Here a transaction in which a constraint fails is undone as a whole anyway.
-- An INSERT is spared that only where its table's foreign keys are checked by COMMIT.

-- name: count_request!
UPDATE clients SET tasks_requested = tasks_requested + 1, open_tasks = open_tasks + 1
WHERE client_id = :client_id AND open_tasks < :open_tasks_max;

-- name: client^
SELECT client_id FROM clients WHERE client_id = :client_id;

-- name: insert_client!
INSERT INTO clients (client_id) VALUES (:client_id) ON CONFLICT (client_id) DO NOTHING;

-- name: insert_task^
INSERT INTO tasks (fingerprint, client_id, parameter_t, parameter_baseg, parameter_product, commitment, modulus_bits,
                   difficulty, effort, judging, proof, is_trap, status, open_slots, promised_by, created_at, updated_at)
VALUES (:fingerprint, :client_id, :parameter_t, :parameter_baseg, :parameter_product, :commitment, :modulus_bits,
        :difficulty, :effort, :judging, :proof, :is_trap, :status, :open_slots, :promised_by, :created_at, :created_at)
RETURNING db_key;

-- name: task^
SELECT * FROM tasks WHERE fingerprint = :fingerprint /*for update*/;

-- name: task_of_client^
SELECT * FROM tasks WHERE fingerprint = :fingerprint AND client_id = :client_id /*for update*/;

-- name: tasks_of_client
SELECT db_key, fingerprint, status, created_at, num_assignments, promised_by, judged_by, complaint_deadline
FROM (SELECT * FROM tasks WHERE client_id = :client_id AND db_key < :before ORDER BY db_key DESC LIMIT :scanned) newest
WHERE CAST(:status AS TEXT) IS NULL OR status = :status ORDER BY db_key DESC LIMIT :count;

-- name: task_of_client_after^
SELECT fingerprint FROM tasks WHERE client_id = :client_id AND db_key < :before
ORDER BY db_key DESC LIMIT 1 OFFSET :skipped;

-- name: update_task_slots!
UPDATE tasks SET first_assignment_id = :first_assignment_id, second_assignment_id = :second_assignment_id,
                 open_slots = :open_slots, num_assignments = :num_assignments, num_returned = :num_returned,
                 promised_by = :promised_by, status = :status, updated_at = :updated_at
WHERE db_key = :db_key AND status = :expected;

-- name: answer_task!
UPDATE OR ROLLBACK tasks SET status = :status, answer = :answer, judged_by = :judged_by, open_slots = 0,
                             updated_at = :updated_at, answered_at = :updated_at,
                             complaint_deadline = :complaint_deadline
WHERE db_key = :db_key AND status = :expected;

-- name: end_task!
UPDATE tasks SET status = :status, open_slots = 0, updated_at = :updated_at
WHERE fingerprint = :fingerprint AND status = :expected;

-- name: fail_task!
UPDATE tasks SET status = :status, reason = :reason, open_slots = 0, updated_at = :updated_at, answer = NULL,
                 judged_by = NULL, proved_by = NULL,
                 complaint_deadline = (SELECT max(a.complaint_deadline) FROM task_assignments a
                                       WHERE a.task_id = tasks.fingerprint)
WHERE fingerprint = :fingerprint AND status = :expected;

-- name: available_solvers
SELECT solver_id, band, reputation_score, in_hand, last_assigned_at, address, speeds, observed_speed
FROM solvers
WHERE is_online = 1 AND state = 'ready' AND in_hand < capacity AND modulus_bits_max >= :modulus_bits
  AND solver_id <> :client_id
  AND valid_answers >= :valid_answers_min
  AND (valid_answers >= :newcomer_answers
       OR NOT EXISTS (SELECT 1 FROM proofs p WHERE p.solver_id = solvers.solver_id AND p.status = 'waiting'))
  AND (:is_new = 1
       OR NOT EXISTS (SELECT 1 FROM task_assignments a WHERE a.task_id = :task_id AND a.solver_id = solvers.solver_id))
  AND (band > 0 OR NOT EXISTS (
    SELECT 1 FROM solvers better
    WHERE better.is_online = 1 AND better.band > 0 AND better.state = 'ready' AND better.capacity > 0
      AND better.valid_answers >= :valid_answers_min
      AND better.modulus_bits_max >= :modulus_bits AND better.solver_id <> :client_id
      AND NOT EXISTS (SELECT 1 FROM task_assignments b WHERE b.task_id = :task_id AND b.solver_id = better.solver_id)))
ORDER BY band DESC, in_hand, last_assigned_at, solver_id LIMIT :count;

-- name: available_newcomer^
SELECT solver_id, band, reputation_score, in_hand, last_assigned_at, address, speeds, observed_speed
FROM solvers
WHERE is_online = 1 AND state = 'ready' AND in_hand < capacity AND modulus_bits_max >= :modulus_bits
  AND solver_id <> :client_id AND valid_answers < :newcomer_answers AND band > 0
  AND valid_answers >= :valid_answers_min
  AND NOT EXISTS (SELECT 1 FROM proofs p WHERE p.solver_id = solvers.solver_id AND p.status = 'waiting')
  AND NOT EXISTS (SELECT 1 FROM task_assignments a WHERE a.task_id = :task_id AND a.solver_id = solvers.solver_id)
ORDER BY in_hand, last_assigned_at, solver_id LIMIT 1;

-- name: available_elsewhere^
SELECT solver_id, band, reputation_score, in_hand, last_assigned_at, address, speeds, observed_speed
FROM solvers
WHERE is_online = 1 AND state = 'ready' AND in_hand < capacity AND modulus_bits_max >= :modulus_bits
  AND solver_id <> :client_id AND address <> :address AND band > 0
  AND valid_answers >= :valid_answers_min
  AND (valid_answers >= :newcomer_answers
       OR NOT EXISTS (SELECT 1 FROM proofs p WHERE p.solver_id = solvers.solver_id AND p.status = 'waiting'))
  AND NOT EXISTS (SELECT 1 FROM task_assignments a WHERE a.task_id = :task_id AND a.solver_id = solvers.solver_id)
ORDER BY band DESC, in_hand, last_assigned_at, solver_id LIMIT 1;

-- name: claim_solver^
SELECT solver_id FROM solvers
WHERE solver_id = :solver_id AND is_online = 1 AND state = 'ready' AND in_hand < capacity /*for update skip locked*/;

-- name: address_of_assignment^
SELECT s.address FROM task_assignments a JOIN solvers s ON s.solver_id = a.solver_id WHERE a.db_key = :db_key;

-- name: hold_solvers
SELECT solver_id FROM solvers WHERE solver_id IN (
    SELECT a.solver_id FROM task_assignments a WHERE a.task_id = :task_id AND a.ended_at IS NULL)
ORDER BY solver_id /*for update*/;

-- name: open_tasks_for_solver
SELECT * FROM tasks
WHERE open_slots > 0 AND modulus_bits <= :modulus_bits_max AND client_id <> :solver_id AND is_trap >= :is_trap_min
  AND NOT EXISTS (SELECT 1 FROM task_assignments a WHERE a.task_id = tasks.fingerprint AND a.solver_id = :solver_id)
  AND (:band > 0 OR is_trap = 1 OR NOT EXISTS (
    SELECT 1 FROM solvers better
    WHERE better.is_online = 1 AND better.band > 0 AND better.state = 'ready' AND better.capacity > 0
      AND better.valid_answers >= :valid_answers_min
      AND better.modulus_bits_max >= tasks.modulus_bits AND better.solver_id <> tasks.client_id
      AND NOT EXISTS (SELECT 1 FROM task_assignments b
                      WHERE b.task_id = tasks.fingerprint AND b.solver_id = better.solver_id)))
ORDER BY db_key LIMIT :count /*for update skip locked*/;

-- name: available_for_trap
SELECT solver_id, band, reputation_score, in_hand, last_assigned_at, address, speeds, observed_speed
FROM solvers
WHERE is_online = 1 AND state = 'ready' AND in_hand < capacity AND modulus_bits_max >= :modulus_bits
  AND NOT EXISTS (SELECT 1 FROM task_assignments a WHERE a.task_id = :task_id AND a.solver_id = solvers.solver_id)
ORDER BY last_trap_at, reputation_score, solver_id LIMIT :count;

-- name: trapped!
UPDATE solvers SET last_trap_at = :now WHERE solver_id = :solver_id;

-- name: recent_task^
SELECT fingerprint, effort FROM (
    SELECT fingerprint, effort, status, is_trap, db_key FROM tasks ORDER BY db_key DESC LIMIT :recent) newest
WHERE is_trap = 0 AND status IN ('answered', 'settled') ORDER BY db_key DESC LIMIT 1 OFFSET :skipped;

-- name: recent_tasks^
SELECT count(*) AS number FROM (
    SELECT status, is_trap FROM tasks ORDER BY db_key DESC LIMIT :recent) newest
WHERE is_trap = 0 AND status IN ('answered', 'settled');

-- name: tasks_of_effort
SELECT * FROM tasks WHERE fingerprint IN (SELECT fingerprint FROM (
    SELECT fingerprint, effort, is_trap FROM tasks ORDER BY db_key DESC LIMIT :recent) newest
    WHERE is_trap = 0 AND effort = :effort LIMIT :count);

-- name: smallest_recent_task^
SELECT fingerprint FROM (
    SELECT fingerprint, effort, status, is_trap, db_key FROM tasks ORDER BY db_key DESC LIMIT :recent) newest
WHERE is_trap = 0 AND status <> 'cancelled' ORDER BY effort, db_key LIMIT 1;

-- name: open_trap^
SELECT db_key FROM tasks WHERE is_trap = 1 AND open_slots > 0 LIMIT 1;

-- name: open_tasks_of^
SELECT open_tasks FROM clients WHERE client_id = :client_id;

-- name: efforts^
SELECT coalesce(sum(CASE WHEN client_id = :server_id THEN 0 ELSE effort END), 0) AS clients,
       coalesce(sum(CASE WHEN client_id = :server_id THEN effort ELSE 0 END), 0) AS traps
FROM clients;

-- name: count_trap!
UPDATE clients SET effort = effort + :effort WHERE client_id = :client_id;

-- name: idle_distrusted
SELECT solver_id FROM solvers WHERE is_online = 1 AND band = 0 AND state = 'ready' AND in_hand < capacity
ORDER BY last_assigned_at, solver_id LIMIT :count;

-- name: insert_assignment^
INSERT OR ROLLBACK INTO task_assignments (task_id, task_key, solver_id, slot, status, deadline, complaint_deadline, ranking,
                              assigned_at)
VALUES (:task_id, :task_key, :solver_id, :slot, :status, :deadline, :complaint_deadline, :ranking, :assigned_at)
RETURNING db_key;

-- name: solver_record_of_pair^
SELECT valid_answers, announced, trusted, reputation_score, band, good, bad, evidence_at,
       (SELECT day FROM good_days g WHERE g.solver_id = s.solver_id AND g.client_id = :client_id) AS good_day
FROM solvers s WHERE solver_id = :solver_id /*for update*/;

-- name: set_trusted!
UPDATE solvers SET trusted = :trusted, capacity = :capacity WHERE solver_id = :solver_id;

-- name: count_good_day!
INSERT INTO good_days (solver_id, client_id, day) VALUES (:solver_id, :client_id, :day)
ON CONFLICT (solver_id, client_id) DO UPDATE SET day = excluded.day WHERE good_days.day < excluded.day;

-- name: forget_good_days!
DELETE FROM good_days WHERE day < :day;

-- name: solver_record^
SELECT valid_answers, announced, trusted, reputation_score, band, good, bad, evidence_at FROM solvers
WHERE solver_id = :solver_id /*for update*/;

-- name: set_solver_record!
UPDATE solvers SET good = :good, bad = :bad, evidence_at = :evidence_at WHERE solver_id = :solver_id;

-- name: observe_speed!
UPDATE solvers SET observed_speed = :observed_speed WHERE solver_id = :solver_id;

-- name: client_record^
SELECT reputation_score, good, bad, evidence_at FROM clients WHERE client_id = :client_id /*for update*/;

-- name: set_client_record!
UPDATE clients SET good = :good, bad = :bad, evidence_at = :evidence_at WHERE client_id = :client_id;

-- name: score_change^
SELECT standing, score_change, score_after, reason, task_id FROM score_history WHERE id = :id;

-- name: set_band!
UPDATE solvers SET band = :band WHERE solver_id = :solver_id;

-- name: accept_assignment^
UPDATE task_assignments SET status = 'accepted', accepted_at = coalesce(accepted_at, :accepted_at)
WHERE db_key = :db_key AND solver_id = :solver_id AND (status = 'offered' OR status = 'accepted')
RETURNING task_id, deadline, accepted_at;

-- name: standing_of_assignment^
SELECT db_key AS assignment_key, status AS assignment_status, delivered_at FROM task_assignments
WHERE db_key = :db_key AND solver_id = :solver_id;

-- What a solver's order needs, and no more: SQLite's driver describes every column anew each time.
-- name: assignment_of_solver^
SELECT a.status AS assignment_status, a.late_until, a.delivered_at, a.db_key AS assignment_key, a.solver_id,
       a.complaint_deadline AS complain_until, a.assigned_at, a.accepted_at, a.head_start,
       tasks.db_key, tasks.fingerprint, tasks.client_id, tasks.parameter_t, tasks.parameter_baseg, tasks.parameter_product,
       tasks.commitment, tasks.modulus_bits, tasks.status, tasks.first_assignment_id, tasks.second_assignment_id,
       tasks.num_assignments, tasks.num_returned, tasks.judging, tasks.proof, tasks.is_trap, tasks.promised_by
FROM tasks JOIN task_assignments a ON tasks.db_key = a.task_key
WHERE a.db_key = :db_key AND a.solver_id = :solver_id /*for update*/;

-- name: assignment^
SELECT a.db_key AS assignment_key, a.solver_id, a.slot, a.status AS assignment_status, a.deadline, a.excused,
       a.complaint_deadline AS complain_until, a.assigned_at, a.accepted_at, a.delivered_at, a.head_start, a.late_until,
       a.answer AS assignment_answer, tasks.*
FROM tasks JOIN task_assignments a ON tasks.fingerprint = a.task_id
WHERE a.db_key = :db_key /*for update*/;

-- name: offered_assignment^
SELECT a.status AS assignment_status, a.deadline, tasks.fingerprint, tasks.client_id, tasks.judging, tasks.proof,
       tasks.parameter_t, tasks.parameter_baseg, tasks.parameter_product
FROM tasks JOIN task_assignments a ON tasks.db_key = a.task_key WHERE a.db_key = :db_key;

-- name: answered_task^
SELECT fingerprint, client_id, answer, judged_by, proved_by FROM tasks WHERE fingerprint = :fingerprint;

-- name: released_assignment^
SELECT late_until FROM task_assignments WHERE db_key = :db_key;

-- name: other_live_assignments
SELECT db_key, solver_id, status,
       EXISTS (SELECT 1 FROM proofs p WHERE p.assignment_id = db_key AND p.status = 'waiting') AS has_proof_waiting
FROM task_assignments
WHERE task_id = :task_id AND db_key <> :db_key AND ended_at IS NULL ORDER BY slot /*for update*/;

-- name: answers_of_task
SELECT db_key, solver_id, status, answer FROM task_assignments
WHERE task_id = :task_id AND db_key <> :db_key AND (status = 'delivered' OR status = 'unproved') ORDER BY slot;

-- name: deliver_answer!
UPDATE OR ROLLBACK task_assignments SET status = :status, answer = :answer, delivered_at = :delivered_at, ended_at = :ended_at
WHERE db_key = :db_key AND status = :expected;

-- name: deliver_late!
UPDATE task_assignments SET answer = :answer, delivered_at = :delivered_at
WHERE db_key = :db_key AND status = 'released' AND answer IS NULL;

-- name: end_assignment!
UPDATE OR ROLLBACK task_assignments SET status = :status, ended_at = :ended_at WHERE db_key = :db_key AND status = :expected;

-- name: allow_late!
UPDATE task_assignments SET late_until = :late_until WHERE db_key = :db_key AND status = 'released';

-- name: insert_proof!
INSERT INTO proofs (assignment_id, solver_id, proof, status, received_at)
VALUES (:assignment_id, :solver_id, :proof, :status, :received_at) ON CONFLICT (assignment_id) DO NOTHING;

-- name: proof^
SELECT * FROM proofs WHERE assignment_id = :assignment_id /*for update*/;

-- name: end_proof!
UPDATE proofs SET status = :status, checked_at = :checked_at WHERE assignment_id = :assignment_id AND status = :expected;

-- name: count_waiting_proofs^
SELECT count(*) AS number FROM proofs WHERE solver_id = :solver_id AND status = 'waiting';

-- name: waiting_proofs
SELECT assignment_id, solver_id FROM proofs WHERE status = 'waiting' ORDER BY assignment_id;

-- name: keep_relay!
INSERT INTO relays (assignment_id, task_id, solver_id, depth, residues, count, checked, status, taken_at)
VALUES (:assignment_id, :task_id, :solver_id, :depth, :residues, :count, :checked, :status, :taken_at)
ON CONFLICT (assignment_id) DO UPDATE SET depth = excluded.depth, residues = excluded.residues, count = excluded.count,
                                          checked = excluded.checked, taken_at = excluded.taken_at;

-- name: relay^
SELECT * FROM relays WHERE assignment_id = :assignment_id /*for update*/;

-- name: relays_of_task
SELECT r.assignment_id, r.solver_id, r.depth, r.count, r.checked, r.status, a.assigned_at, s.valid_answers
FROM relays r JOIN task_assignments a ON a.db_key = r.assignment_id JOIN solvers s ON s.solver_id = r.solver_id
WHERE r.task_id = :task_id ORDER BY r.assignment_id;

-- name: successors
SELECT a.db_key, a.solver_id, coalesce(r.depth, 0) AS depth, coalesce(r.count, 0) AS count, r.status AS relay_status
FROM task_assignments a LEFT JOIN relays r ON r.assignment_id = a.db_key
WHERE a.task_id = :task_id AND a.ended_at IS NULL AND (a.status = 'offered' OR a.status = 'accepted')
  AND a.assigned_at > :assigned_at ORDER BY a.db_key;

-- name: give_head_start!
UPDATE task_assignments SET head_start = :head_start WHERE db_key = :db_key;

-- name: check_relay!
UPDATE relays SET status = :status WHERE assignment_id = :assignment_id AND status = :expected;

-- name: end_check!
UPDATE relays SET status = :status, residues = :residues, checked = :checked
WHERE assignment_id = :assignment_id AND status = :expected;

-- name: relays_being_checked
SELECT assignment_id FROM relays WHERE status = 'checking' ORDER BY assignment_id;

-- name: relays_by_status
SELECT status, count(*) AS relays FROM relays GROUP BY status;

-- name: set_proved!
UPDATE tasks SET judged_by = :judged_by, proved_by = :proved_by WHERE fingerprint = :fingerprint AND status = 'answered';

-- name: solver^
SELECT * FROM solvers WHERE solver_id = :solver_id /*for update*/;

-- name: insert_solver!
INSERT INTO solvers (solver_id) VALUES (:solver_id) ON CONFLICT (solver_id) DO NOTHING;

-- name: solver_online!
UPDATE solvers SET is_online = 1, state = 'paused', address = :address, node = :node WHERE solver_id = :solver_id;

-- name: solver_offline!
UPDATE solvers SET is_online = 0, node = '' WHERE solver_id = :solver_id AND node = :node;

-- name: solvers_of_node_offline!
UPDATE solvers SET is_online = 0 WHERE node = :node AND is_online = 1;

-- name: solvers_of_node_online!
UPDATE solvers SET is_online = 1 WHERE node = :node AND is_online = 0;

-- name: all_solvers_offline!
UPDATE solvers SET is_online = 0 WHERE is_online = 1;

-- name: update_solver_status!
UPDATE solvers SET state = :state, announced = :announced, capacity = :capacity, modulus_bits_max = :modulus_bits_max, speeds = :speeds
WHERE solver_id = :solver_id;

-- name: delivered_assignments
SELECT db_key FROM task_assignments WHERE delivered_at IS NOT NULL AND ended_at IS NULL ORDER BY delivered_at;

-- name: rejudge_assignment!
UPDATE task_assignments SET status = :status WHERE db_key = :db_key AND status = :expected;

-- name: excuse_assignments!
UPDATE task_assignments
SET excused = 1, deadline = :until, complaint_deadline = complaint_deadline + (:until - deadline)
WHERE db_key IN (SELECT CAST(subject AS BIGINT) FROM deadlines WHERE name = 'expire_assignment' AND due < :until);

-- name: postpone_expiries!
UPDATE deadlines SET due = :until WHERE name = 'expire_assignment' AND due < :until;

-- name: prolong_hearings!
UPDATE complaints SET respond_by = :until
WHERE id IN (SELECT CAST(subject AS BIGINT) FROM deadlines WHERE name = 'rule_complaint' AND due < :until);

-- name: postpone_rulings!
UPDATE deadlines SET due = :until WHERE name = 'rule_complaint' AND due < :until;

-- name: prolong_complaint_windows!
UPDATE tasks SET complaint_deadline = :until
WHERE fingerprint IN (SELECT subject FROM deadlines WHERE name = 'settle_task' AND due <= :until)
  AND complaint_deadline + 1 = (SELECT due FROM deadlines WHERE name = 'settle_task' AND subject = tasks.fingerprint);

-- name: postpone_settling!
UPDATE deadlines SET due = :until + 1 WHERE name = 'settle_task' AND due <= :until;

-- name: any_open_task^
SELECT db_key FROM tasks WHERE open_slots > 0 LIMIT 1;

-- name: insert_complaint^
INSERT INTO complaints (task_id, client_id, kind, status, created_at)
VALUES (:task_id, :client_id, :kind, :status, :created_at) RETURNING id;

-- name: complaint^
SELECT * FROM complaints WHERE id = :id /*for update*/;

-- name: complaints_of_task
SELECT * FROM complaints WHERE task_id = :task_id ORDER BY id;

-- name: unruled_complaints^
SELECT count(*) AS number, min(respond_by) AS respond_by FROM complaints
WHERE client_id = :client_id AND ruled_at IS NULL;

-- name: rejected_complaint^
SELECT ruled_at FROM complaints WHERE client_id = :client_id AND status = 'rejected' AND ruled_at > :since
ORDER BY ruled_at DESC LIMIT 1 OFFSET :newer;

-- name: ask_about_complaint!
UPDATE complaints SET status = :status, respond_by = :respond_by WHERE id = :id AND status = :expected;

-- name: reveal_factor!
UPDATE complaints SET status = :status, factor = :factor WHERE id = :id AND status = :expected;

-- name: rule_complaint!
UPDATE complaints SET status = :status, ruling = :ruling, ruled_at = :ruled_at WHERE id = :id AND status = :expected;

-- name: complaints_with_factor
SELECT id FROM complaints WHERE ruled_at IS NULL AND factor IS NOT NULL ORDER BY id;

-- name: insert_party!
INSERT INTO complaint_parties (complaint_id, assignment_id) VALUES (:complaint_id, :assignment_id)
ON CONFLICT (complaint_id, assignment_id) DO NOTHING;

-- name: parties_of_complaint
SELECT p.assignment_id, p.response, a.db_key, a.solver_id, a.status, a.answer,
       (SELECT status FROM proofs WHERE proofs.assignment_id = p.assignment_id) AS proof_status
FROM complaint_parties p JOIN task_assignments a ON a.db_key = p.assignment_id
WHERE p.complaint_id = :complaint_id ORDER BY p.assignment_id;

-- name: complaints_asked_of
SELECT c.id FROM complaints c JOIN complaint_parties p ON p.complaint_id = c.id
WHERE p.assignment_id = :assignment_id AND c.status = 'asked' ORDER BY c.id;

-- name: respond_to_complaint!
UPDATE complaint_parties SET response = :response, responded_at = :responded_at
WHERE complaint_id = :complaint_id AND assignment_id = :assignment_id AND response IS NULL;

-- name: assignments_with_answer
SELECT db_key, solver_id, status, answer FROM task_assignments
WHERE task_id = :task_id AND answer IS NOT NULL ORDER BY db_key;

-- name: missed_assignments
SELECT db_key, solver_id, status, deadline, assigned_at, excused, EXISTS (
    SELECT 1 FROM complaint_parties p JOIN complaints c ON c.id = p.complaint_id
    WHERE p.assignment_id = task_assignments.db_key AND c.status = 'upheld') AS upheld_before
FROM task_assignments WHERE task_id = :task_id AND status = 'expired' ORDER BY db_key;

-- name: count_tasks
SELECT status, count(*) AS tasks FROM tasks GROUP BY status;

-- name: count_proofs_waiting^
SELECT count(*) AS proofs FROM proofs WHERE status = 'waiting';

-- name: count_solvers_online^
SELECT count(*) AS solvers FROM solvers WHERE is_online = 1;
