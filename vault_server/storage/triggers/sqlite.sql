-- The event of seed 000 §5: a task has been given to a solver. The row is what the pump turns into `tlp_request`.
CREATE TRIGGER on_task_assignment_insert AFTER INSERT ON task_assignments
BEGIN
    INSERT INTO outbox (receiver, endpoint, kind, subject, created_at)
    VALUES ('key:' || NEW.solver_id, 'solver', 'tlp_request', NEW.db_key, NEW.assigned_at);
END;
