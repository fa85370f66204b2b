-- Valid answers are counted, and an answer is told to its client and settles, by trigger.

DROP TRIGGER on_task_assignment_end;
CREATE TRIGGER on_task_assignment_end AFTER UPDATE OF status ON task_assignments
WHEN (OLD.status = 'offered' OR OLD.status = 'accepted') AND NOT (NEW.status = 'offered' OR NEW.status = 'accepted')
    OR (OLD.status = 'valid') <> (NEW.status = 'valid')
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'tlp_request' AND subject = CAST(NEW.db_key AS TEXT);
    DELETE FROM outbox WHERE kind = 'checkpoint_offered' AND subject = CAST(NEW.db_key AS TEXT);
    DELETE FROM deadlines WHERE name = 'expire_assignment' AND subject = CAST(NEW.db_key AS TEXT);
    UPDATE solvers SET in_hand = in_hand - (OLD.status = 'offered' OR OLD.status = 'accepted'),
                       valid_answers = valid_answers + (NEW.status = 'valid') - (OLD.status = 'valid')
    WHERE solver_id = NEW.solver_id;
END;

DROP TRIGGER on_task_end;
CREATE TRIGGER on_task_end AFTER UPDATE OF status ON tasks
WHEN OLD.status IN ('waiting', 'assigned') AND NEW.status NOT IN ('waiting', 'assigned')
BEGIN
    UPDATE clients SET open_tasks = open_tasks - 1,
                       effort = effort + CASE WHEN NEW.status = 'answered' AND NEW.is_trap = 0 THEN NEW.effort ELSE 0 END
    WHERE client_id = NEW.client_id;
    DELETE FROM relays WHERE task_id = NEW.fingerprint;
    INSERT INTO outbox (receiver, endpoint, kind, subject, created_at)
    SELECT 'key:' || NEW.client_id, 'client', 'tlp_response', NEW.fingerprint, NEW.answered_at
    WHERE NEW.status = 'answered' AND NEW.is_trap = 0;
    INSERT INTO deadlines (name, subject, due)
    SELECT 'settle_task', NEW.fingerprint, NEW.complaint_deadline + 1 WHERE NEW.status = 'answered';
END;

-- The foreign keys of assignments are checked by COMMIT. SQLite has no ALTER for that; its text in the schema is all
-- there is of a foreign key, so nothing stored changes.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(replace(sql,
    'REFERENCES tasks (fingerprint)', 'REFERENCES tasks (fingerprint) DEFERRABLE INITIALLY DEFERRED'),
    'REFERENCES tasks (db_key)', 'REFERENCES tasks (db_key) DEFERRABLE INITIALLY DEFERRED'),
    'REFERENCES solvers (solver_id)', 'REFERENCES solvers (solver_id) DEFERRABLE INITIALLY DEFERRED')
WHERE type = 'table' AND name = 'task_assignments' AND sql NOT LIKE '%DEFERRED%';
PRAGMA writable_schema = RESET;
