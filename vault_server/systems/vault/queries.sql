-- name: count_request^
UPDATE clients SET tasks_requested = tasks_requested + 1, open_tasks = open_tasks + 1
WHERE client_id = :client_id AND open_tasks < :open_tasks_max RETURNING open_tasks;

-- name: client^
SELECT client_id FROM clients WHERE client_id = :client_id;

-- name: insert_client!
INSERT INTO clients (client_id) VALUES (:client_id) ON CONFLICT (client_id) DO NOTHING;

-- name: insert_task^
INSERT INTO tasks (fingerprint, client_id, parameter_t, parameter_baseg, parameter_product, commitment, modulus_bits,
                   difficulty, effort, judging, status, open_slots, created_at, updated_at)
VALUES (:fingerprint, :client_id, :parameter_t, :parameter_baseg, :parameter_product, :commitment, :modulus_bits,
        :difficulty, :effort, :judging, :status, :open_slots, :created_at, :created_at)
RETURNING db_key;

-- name: task^
SELECT * FROM tasks WHERE fingerprint = :fingerprint /*for update*/;

-- name: task_of_client^
SELECT * FROM tasks WHERE fingerprint = :fingerprint AND client_id = :client_id /*for update*/;

-- name: update_task_slots!
UPDATE tasks SET first_assignment_id = :first_assignment_id, second_assignment_id = :second_assignment_id,
                 open_slots = :open_slots, num_assignments = :num_assignments, num_returned = :num_returned,
                 promised_by = :promised_by, status = :status, updated_at = :updated_at
WHERE fingerprint = :fingerprint AND status = :expected;

-- name: answer_task!
UPDATE tasks SET status = :status, answer = :answer, judged_by = :judged_by, open_slots = 0, updated_at = :updated_at
WHERE fingerprint = :fingerprint AND status = :expected;

-- name: end_task!
UPDATE tasks SET status = :status, reason = :reason, open_slots = 0, updated_at = :updated_at
WHERE fingerprint = :fingerprint AND status = :expected;

-- name: available_solvers
SELECT solver_id, band, reputation_score, in_hand, last_assigned_at, address, valid_answers, speeds FROM solvers
WHERE is_online = 1 AND state = 'ready' AND in_hand < capacity AND modulus_bits_max >= :modulus_bits
  AND solver_id <> :client_id
  AND NOT EXISTS (SELECT 1 FROM task_assignments a WHERE a.task_id = :task_id AND a.solver_id = solvers.solver_id)
ORDER BY band DESC, in_hand, last_assigned_at, solver_id LIMIT :count /*for update skip locked*/;

-- name: available_newcomer^
SELECT solver_id, band, reputation_score, in_hand, last_assigned_at, address, valid_answers, speeds FROM solvers
WHERE is_online = 1 AND state = 'ready' AND in_hand < capacity AND modulus_bits_max >= :modulus_bits
  AND solver_id <> :client_id AND valid_answers < :newcomer_answers
  AND NOT EXISTS (SELECT 1 FROM task_assignments a WHERE a.task_id = :task_id AND a.solver_id = solvers.solver_id)
ORDER BY in_hand, last_assigned_at, solver_id LIMIT 1 /*for update skip locked*/;

-- name: open_tasks_for_solver
SELECT * FROM tasks
WHERE open_slots > 0 AND modulus_bits <= :modulus_bits_max AND client_id <> :solver_id
  AND NOT EXISTS (SELECT 1 FROM task_assignments a WHERE a.task_id = tasks.fingerprint AND a.solver_id = :solver_id)
ORDER BY open_slots DESC, db_key LIMIT :count /*for update skip locked*/;

-- name: insert_assignment^
INSERT INTO task_assignments (task_id, task_key, solver_id, slot, status, deadline, complaint_deadline, ranking,
                              assigned_at)
VALUES (:task_id, :task_key, :solver_id, :slot, :status, :deadline, :complaint_deadline, :ranking, :assigned_at)
RETURNING db_key;

-- name: count_valid_answer^
UPDATE solvers SET valid_answers = valid_answers + 1 WHERE solver_id = :solver_id
RETURNING valid_answers, reputation_score, band;

-- name: set_band!
UPDATE solvers SET band = :band WHERE solver_id = :solver_id;

-- name: accept_assignment^
UPDATE task_assignments SET status = 'accepted', accepted_at = coalesce(accepted_at, :accepted_at)
WHERE db_key = :db_key AND solver_id = :solver_id AND (status = 'offered' OR status = 'accepted')
RETURNING task_id, deadline, accepted_at;

-- name: assignment_of_solver^
SELECT a.db_key AS assignment_key, a.solver_id, a.slot, a.status AS assignment_status, a.deadline, a.complaint_deadline,
       tasks.*
FROM task_assignments a JOIN tasks ON tasks.fingerprint = a.task_id
WHERE a.db_key = :db_key AND a.solver_id = :solver_id /*for update of tasks*/;

-- name: assignment^
SELECT a.db_key AS assignment_key, a.solver_id, a.slot, a.status AS assignment_status, a.deadline, a.complaint_deadline,
       a.answer AS assignment_answer, tasks.*
FROM task_assignments a JOIN tasks ON tasks.fingerprint = a.task_id
WHERE a.db_key = :db_key /*for update of tasks*/;

-- name: other_live_assignments
SELECT db_key, solver_id, slot, status, deadline FROM task_assignments
WHERE task_id = :task_id AND db_key <> :db_key AND ended_at IS NULL ORDER BY slot;

-- name: answers_of_task
SELECT db_key, solver_id, status, answer FROM task_assignments
WHERE task_id = :task_id AND db_key <> :db_key AND (status = 'delivered' OR status = 'unproved') ORDER BY slot;

-- name: deliver_answer!
UPDATE task_assignments SET status = :status, answer = :answer, delivered_at = :delivered_at, ended_at = :ended_at
WHERE db_key = :db_key AND status = :expected;

-- name: end_assignment!
UPDATE task_assignments SET status = :status, ended_at = :ended_at WHERE db_key = :db_key AND status = :expected;

-- name: solver^
SELECT * FROM solvers WHERE solver_id = :solver_id /*for update*/;

-- name: insert_solver!
INSERT INTO solvers (solver_id) VALUES (:solver_id) ON CONFLICT (solver_id) DO NOTHING;

-- name: solver_online!
UPDATE solvers SET is_online = 1, state = 'paused', address = :address WHERE solver_id = :solver_id;

-- name: solver_offline!
UPDATE solvers SET is_online = 0 WHERE solver_id = :solver_id;

-- name: all_solvers_offline!
UPDATE solvers SET is_online = 0 WHERE is_online = 1;

-- name: update_solver_status!
UPDATE solvers SET state = :state, announced = :announced, capacity = :capacity, modulus_bits_max = :modulus_bits_max, speeds = :speeds
WHERE solver_id = :solver_id;

-- name: delivered_assignments
SELECT db_key FROM task_assignments WHERE delivered_at IS NOT NULL AND ended_at IS NULL ORDER BY delivered_at;
