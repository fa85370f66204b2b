-- What must never be found: each statement gives the rows that break one invariant.

-- name: hands_that_do_not_match
SELECT s.solver_id, s.in_hand, s.tasks_taken, s.valid_answers, coalesce(a.in_hand, 0) AS found_in_hand,
       coalesce(a.taken, 0) AS found_taken, coalesce(a.valid, 0) AS found_valid
FROM solvers s LEFT JOIN (
    SELECT solver_id, count(*) AS taken, sum(CASE WHEN status IN ('offered', 'accepted') THEN 1 ELSE 0 END) AS in_hand,
           sum(CASE WHEN status = 'valid' THEN 1 ELSE 0 END) AS valid
    FROM task_assignments GROUP BY solver_id) a ON a.solver_id = s.solver_id
WHERE s.in_hand <> coalesce(a.in_hand, 0) OR s.tasks_taken <> coalesce(a.taken, 0)
   OR s.valid_answers <> coalesce(a.valid, 0);

-- name: requests_that_do_not_match
SELECT c.client_id, c.open_tasks, c.tasks_requested, coalesce(t.open_tasks, 0) AS found_open,
       coalesce(t.requested, 0) AS found_requested
FROM clients c LEFT JOIN (
    SELECT client_id, count(*) AS requested,
           sum(CASE WHEN status IN ('waiting', 'assigned') THEN 1 ELSE 0 END) AS open_tasks
    FROM tasks GROUP BY client_id) t ON t.client_id = c.client_id
WHERE c.open_tasks <> coalesce(t.open_tasks, 0) OR c.tasks_requested <> coalesce(t.requested, 0);

-- name: assignments_that_do_not_match
SELECT t.fingerprint, t.status, t.num_assignments, t.num_returned, coalesce(a.made, 0) AS found_made,
       coalesce(a.released, 0) AS found_released
FROM tasks t LEFT JOIN (
    SELECT task_id, count(*) AS made, sum(CASE WHEN status = 'released' THEN 1 ELSE 0 END) AS released
    FROM task_assignments GROUP BY task_id) a ON a.task_id = t.fingerprint
WHERE t.num_assignments <> coalesce(a.made, 0) OR t.num_returned > coalesce(a.released, 0)
   OR (t.status IN ('waiting', 'assigned') AND t.num_returned <> coalesce(a.released, 0));

-- name: slots_that_hold_something_else
SELECT t.fingerprint, t.status, t.first_assignment_id, t.second_assignment_id, one.db_key AS found_first,
       two.db_key AS found_second
FROM tasks t
LEFT JOIN task_assignments one ON one.task_id = t.fingerprint AND one.slot = 1 AND one.ended_at IS NULL
LEFT JOIN task_assignments two ON two.task_id = t.fingerprint AND two.slot = 2 AND two.ended_at IS NULL
WHERE t.status IN ('waiting', 'assigned')
  AND (coalesce(t.first_assignment_id, 0) <> coalesce(one.db_key, 0)
    OR coalesce(t.second_assignment_id, 0) <> coalesce(two.db_key, 0));

-- name: slots_of_other_tasks
SELECT t.fingerprint, a.db_key, a.task_id, a.slot FROM tasks t JOIN task_assignments a ON a.db_key = t.first_assignment_id
WHERE a.task_id <> t.fingerprint OR a.slot <> 1
UNION ALL
SELECT t.fingerprint, a.db_key, a.task_id, a.slot FROM tasks t JOIN task_assignments a ON a.db_key = t.second_assignment_id
WHERE a.task_id <> t.fingerprint OR a.slot <> 2;

-- name: states_that_do_not_match_slots
SELECT fingerprint, status, open_slots FROM tasks
WHERE (status = 'waiting' AND (first_assignment_id IS NOT NULL OR second_assignment_id IS NOT NULL))
   OR (status = 'assigned' AND first_assignment_id IS NULL AND second_assignment_id IS NULL)
   OR open_slots > (CASE WHEN first_assignment_id IS NULL THEN 1 ELSE 0 END)
                 + (CASE WHEN second_assignment_id IS NULL THEN 1 ELSE 0 END)
   OR (open_slots > 0 AND status NOT IN ('waiting', 'assigned'));

-- name: two_in_one_slot
SELECT task_id, slot, count(*) AS number FROM task_assignments WHERE ended_at IS NULL
GROUP BY task_id, slot HAVING count(*) > 1;

-- name: the_same_solver_twice
SELECT task_id, solver_id, count(*) AS number FROM task_assignments GROUP BY task_id, solver_id HAVING count(*) > 1;

-- name: work_for_oneself
SELECT a.db_key, a.task_id, a.solver_id FROM task_assignments a JOIN tasks t ON t.fingerprint = a.task_id
WHERE a.solver_id = t.client_id;

-- name: work_for_ended_tasks
SELECT a.db_key, a.task_id, a.status, t.status AS task_status
FROM task_assignments a JOIN tasks t ON t.fingerprint = a.task_id
WHERE a.ended_at IS NULL AND a.status IN ('offered', 'accepted') AND t.status NOT IN ('waiting', 'assigned');

-- name: assignments_of_another_key
SELECT a.db_key, a.task_id FROM task_assignments a JOIN tasks t ON t.fingerprint = a.task_id WHERE a.task_key <> t.db_key;

-- name: tasks_that_wait_for_nothing
SELECT t.fingerprint, t.status FROM tasks t
WHERE t.status IN ('waiting', 'assigned') AND t.open_slots = 0 AND NOT EXISTS (
    SELECT 1 FROM task_assignments a WHERE a.task_id = t.fingerprint AND a.ended_at IS NULL
      AND (a.status IN ('offered', 'accepted') OR t.judging = 'computed' OR EXISTS (
          SELECT 1 FROM proofs p WHERE p.assignment_id = a.db_key AND p.status = 'waiting')));

-- name: work_without_a_deadline
SELECT a.db_key, a.task_id, a.deadline, d.due FROM task_assignments a
LEFT JOIN deadlines d ON d.name = 'expire_assignment' AND d.subject = CAST(a.db_key AS TEXT)
WHERE a.ended_at IS NULL AND a.status IN ('offered', 'accepted') AND (d.due IS NULL OR d.due < a.deadline);

-- name: deadlines_without_work
SELECT d.subject FROM deadlines d WHERE d.name = 'expire_assignment' AND NOT EXISTS (
    SELECT 1 FROM task_assignments a
    WHERE a.db_key = CAST(d.subject AS BIGINT) AND a.status IN ('offered', 'accepted'));

-- name: work_without_a_request
SELECT a.db_key, a.task_id, a.solver_id FROM task_assignments a
WHERE a.ended_at IS NULL AND a.status IN ('offered', 'accepted') AND NOT EXISTS (
    SELECT 1 FROM outbox o WHERE o.standing = 1 AND o.kind = 'tlp_request' AND o.subject = CAST(a.db_key AS TEXT)
      AND o.receiver = 'key:' || a.solver_id AND o.endpoint = 'solver');

-- name: requests_without_work
SELECT o.seq, o.subject FROM outbox o WHERE o.standing = 1 AND o.kind = 'tlp_request' AND NOT EXISTS (
    SELECT 1 FROM task_assignments a
    WHERE a.db_key = CAST(o.subject AS BIGINT) AND a.status IN ('offered', 'accepted'));

-- name: answers_that_never_settle
SELECT t.fingerprint FROM tasks t WHERE t.status = 'answered' AND NOT EXISTS (
    SELECT 1 FROM deadlines d WHERE d.name = 'settle_task' AND d.subject = t.fingerprint);

-- name: settlements_without_an_answer
SELECT d.subject, t.status FROM deadlines d LEFT JOIN tasks t ON t.fingerprint = d.subject
WHERE d.name = 'settle_task' AND (t.status IS NULL OR t.status <> 'answered');

-- name: tasks_whose_columns_contradict
SELECT fingerprint, status FROM tasks
WHERE (status IN ('answered', 'settled') AND (answer IS NULL OR judged_by IS NULL OR answered_at IS NULL))
   OR (status NOT IN ('answered', 'settled') AND answer IS NOT NULL)
   OR (status = 'failed') <> (reason IS NOT NULL)
   OR (status IN ('waiting', 'assigned', 'cancelled') AND answered_at IS NOT NULL);

-- name: assignments_whose_columns_contradict
SELECT db_key, task_id, status FROM task_assignments
WHERE (ended_at IS NULL) <> (status IN ('offered', 'accepted', 'delivered'))
   OR (delivered_at IS NULL) <> (answer IS NULL)
   OR (delivered_at IS NULL) <> (status IN ('offered', 'accepted', 'expired', 'released'))
      AND (status <> 'released' OR late_until IS NULL OR delivered_at > late_until)
   OR (status = 'offered' AND accepted_at IS NOT NULL) OR (status = 'accepted' AND accepted_at IS NULL);

-- name: judgements_that_do_not_match
SELECT t.fingerprint, t.judged_by FROM tasks t
WHERE t.status IN ('answered', 'settled') AND (t.judged_by NOT IN (t.judging, 'proof') OR NOT EXISTS (
    SELECT 1 FROM task_assignments a WHERE a.task_id = t.fingerprint AND a.answer IS NOT NULL
      AND (a.status = 'valid' OR t.judged_by = 'agreed')));

-- name: proofs_that_do_not_match
SELECT t.fingerprint, t.judged_by FROM tasks t
WHERE t.status IN ('answered', 'settled') AND (t.judged_by = 'proof') <> EXISTS (
    SELECT 1 FROM proofs p JOIN task_assignments a ON a.db_key = p.assignment_id
    WHERE p.assignment_id = t.proved_by AND a.task_id = t.fingerprint AND p.status = 'holding');

-- name: proofs_without_an_answer
SELECT p.assignment_id, p.status FROM proofs p JOIN task_assignments a ON a.db_key = p.assignment_id
WHERE a.solver_id <> p.solver_id OR a.answer IS NULL OR (p.status <> 'waiting' AND a.status = 'delivered')
   OR (p.status = 'failed' AND a.status = 'released');

-- name: solvers_beyond_their_means
SELECT solver_id, capacity, announced, good, bad FROM solvers
WHERE capacity > announced OR capacity < 0 OR good < 0 OR bad < 0;

-- name: bands
SELECT solver_id, band, reputation_score, valid_answers FROM solvers ORDER BY db_key;

-- name: scores_without_history
SELECT s.solver_id AS fingerprint, 'solver' AS standing, s.reputation_score AS score,
       50 + coalesce(h.moved, 0) AS found
FROM solvers s JOIN participants p ON p.fingerprint = s.solver_id LEFT JOIN (
    SELECT hotkey, sum(score_change) AS moved FROM score_history WHERE standing = 'solver' GROUP BY hotkey) h
    ON h.hotkey = p.hotkey
WHERE abs(s.reputation_score - 50 - coalesce(h.moved, 0)) >= 0.0000005
UNION ALL
SELECT c.client_id, 'client', c.reputation_score, 50 + coalesce(h.moved, 0)
FROM clients c JOIN participants p ON p.fingerprint = c.client_id LEFT JOIN (
    SELECT hotkey, sum(score_change) AS moved FROM score_history WHERE standing = 'client' GROUP BY hotkey) h
    ON h.hotkey = p.hotkey
WHERE abs(c.reputation_score - 50 - coalesce(h.moved, 0)) >= 0.0000005;

-- name: complaints_that_contradict
SELECT id, task_id, status FROM complaints
WHERE (ruled_at IS NULL) <> (status IN ('open', 'asked')) OR (ruled_at IS NULL) <> (ruling IS NULL)
   OR (status = 'asked' AND respond_by IS NULL) OR (factor IS NOT NULL AND kind <> 'wrong_answer');

-- name: complaints_nobody_will_rule
SELECT c.id, c.task_id, c.status FROM complaints c
WHERE c.ruled_at IS NULL AND c.factor IS NULL AND NOT EXISTS (
    SELECT 1 FROM deadlines d WHERE d.name = 'rule_complaint' AND d.subject = CAST(c.id AS TEXT));

-- name: complaints_about_other_tasks
SELECT c.id, c.task_id, a.db_key FROM complaints c JOIN complaint_parties p ON p.complaint_id = c.id
JOIN task_assignments a ON a.db_key = p.assignment_id WHERE a.task_id <> c.task_id;

-- name: complaints_of_strangers
SELECT c.id, c.task_id FROM complaints c JOIN tasks t ON t.fingerprint = c.task_id WHERE t.client_id <> c.client_id;

-- name: settled_over_a_complaint
SELECT c.id, c.task_id FROM complaints c JOIN tasks t ON t.fingerprint = c.task_id
WHERE c.ruled_at IS NULL AND t.status = 'settled';

-- name: checkpoints_of_ended_tasks
SELECT r.assignment_id, r.task_id, t.status FROM relays r JOIN tasks t ON t.fingerprint = r.task_id
WHERE t.status NOT IN ('waiting', 'assigned');

-- name: checkpoints_of_others
SELECT r.assignment_id FROM relays r JOIN task_assignments a ON a.db_key = r.assignment_id
WHERE a.task_id <> r.task_id OR a.solver_id <> r.solver_id;

-- name: offers_without_a_checkpoint
SELECT o.seq, o.subject FROM outbox o WHERE o.kind = 'checkpoint_offered' AND NOT EXISTS (
    SELECT 1 FROM relays r JOIN task_assignments a ON a.db_key = r.assignment_id
    WHERE r.assignment_id = CAST(o.subject AS BIGINT) AND a.status IN ('offered', 'accepted')
      AND r.checked > 0 AND r.status <> 'refuted');
