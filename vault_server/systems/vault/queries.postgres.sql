-- What PostgreSQL cannot share with SQLite; the same names as in queries.sql.

-- name: answer_task!
UPDATE tasks SET status = :status, answer = :answer, judged_by = :judged_by, open_slots = 0,
                 updated_at = :updated_at, answered_at = :updated_at, complaint_deadline = :complaint_deadline
WHERE db_key = :db_key AND status = :expected;

-- name: deliver_answer!
UPDATE task_assignments SET status = :status, answer = :answer, delivered_at = :delivered_at, ended_at = :ended_at
WHERE db_key = :db_key AND status = :expected;

-- name: end_assignment!
UPDATE task_assignments SET status = :status, ended_at = :ended_at WHERE db_key = :db_key AND status = :expected;

-- name: insert_assignment^
INSERT INTO task_assignments (task_id, task_key, solver_id, slot, status, deadline, complaint_deadline, ranking,
                              assigned_at)
VALUES (:task_id, :task_key, :solver_id, :slot, :status, :deadline, :complaint_deadline, :ranking, :assigned_at)
RETURNING db_key;
