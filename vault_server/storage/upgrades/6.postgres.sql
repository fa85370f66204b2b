-- Valid answers are counted, and an answer is told to its client and settles, by trigger.

CREATE OR REPLACE FUNCTION on_task_assignment_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'tlp_request' AND subject = NEW.db_key::text;
    DELETE FROM outbox WHERE kind = 'checkpoint_offered' AND subject = NEW.db_key::text;
    DELETE FROM deadlines WHERE name = 'expire_assignment' AND subject = NEW.db_key::text;
    UPDATE solvers SET in_hand = in_hand - (OLD.status IN ('offered', 'accepted'))::int,
                       valid_answers = valid_answers + (NEW.status = 'valid')::int - (OLD.status = 'valid')::int
    WHERE solver_id = NEW.solver_id;
    RETURN NEW;
END
$$;

DROP TRIGGER on_task_assignment_end ON task_assignments;
CREATE TRIGGER on_task_assignment_end AFTER UPDATE OF status ON task_assignments
FOR EACH ROW WHEN (OLD.status IN ('offered', 'accepted') AND NEW.status NOT IN ('offered', 'accepted')
    OR (OLD.status = 'valid') <> (NEW.status = 'valid'))
EXECUTE FUNCTION on_task_assignment_end();

CREATE OR REPLACE FUNCTION on_task_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE clients SET open_tasks = open_tasks - 1,
                       effort = effort + CASE WHEN NEW.status = 'answered' AND NEW.is_trap = 0 THEN NEW.effort ELSE 0 END
    WHERE client_id = NEW.client_id;
    DELETE FROM relays WHERE task_id = NEW.fingerprint;
    IF NEW.status = 'answered' THEN
        IF NEW.is_trap = 0 THEN
            INSERT INTO outbox (receiver, endpoint, kind, subject, created_at)
            VALUES ('key:' || NEW.client_id, 'client', 'tlp_response', NEW.fingerprint, NEW.answered_at);
        END IF;
        INSERT INTO deadlines (name, subject, due) VALUES ('settle_task', NEW.fingerprint, NEW.complaint_deadline + 1);
    END IF;
    RETURN NEW;
END
$$;

-- The foreign keys of assignments are checked by COMMIT, as on SQLite, where that spares copies of pages.
ALTER TABLE task_assignments ALTER CONSTRAINT task_assignments_task_id_fkey DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE task_assignments ALTER CONSTRAINT task_assignments_task_key_fkey DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE task_assignments ALTER CONSTRAINT task_assignments_solver_id_fkey DEFERRABLE INITIALLY DEFERRED;
