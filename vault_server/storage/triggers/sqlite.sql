-- The event of seed 000 §5: a task has been given to a solver. The outbox row is what the pump turns into `tlp_request`;
-- the solver's hand and the deadline follow the assignment whoever writes it, so they cannot disagree with it.
CREATE TRIGGER on_task_assignment_insert AFTER INSERT ON task_assignments
BEGIN
    INSERT INTO outbox (receiver, endpoint, kind, subject, standing, created_at)
    VALUES ('key:' || NEW.solver_id, 'solver', 'tlp_request', NEW.db_key, 1, NEW.assigned_at);
    INSERT INTO deadlines (name, subject, due) VALUES ('expire_assignment', NEW.db_key, NEW.deadline);
    UPDATE solvers SET tasks_taken = tasks_taken + 1, in_hand = in_hand + 1, last_assigned_at = NEW.assigned_at
    WHERE solver_id = NEW.solver_id;
END;

-- The solver has nothing more to do for the assignment: its request, its deadline and its hand are free.
CREATE TRIGGER on_task_assignment_end AFTER UPDATE OF status ON task_assignments
WHEN OLD.status IN ('offered', 'accepted') AND NEW.status NOT IN ('offered', 'accepted')
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'tlp_request' AND subject = CAST(NEW.db_key AS TEXT);
    DELETE FROM deadlines WHERE name = 'expire_assignment' AND subject = CAST(NEW.db_key AS TEXT);
    UPDATE solvers SET in_hand = in_hand - 1 WHERE solver_id = NEW.solver_id;
END;

-- A task that has ended is no longer one of its client's open tasks.
CREATE TRIGGER on_task_end AFTER UPDATE OF status ON tasks
WHEN OLD.status IN ('waiting', 'assigned') AND NEW.status NOT IN ('waiting', 'assigned')
BEGIN
    UPDATE clients SET open_tasks = open_tasks - 1 WHERE client_id = NEW.client_id;
END;
