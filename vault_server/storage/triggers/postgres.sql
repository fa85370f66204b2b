-- The event of seed 000 §5: a task has been given to a solver. The outbox row is what the pump turns into `tlp_request`;
-- the solver's hand and the deadline follow the assignment whoever writes it, so they cannot disagree with it.
CREATE FUNCTION on_task_assignment_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (receiver, endpoint, kind, subject, standing, created_at)
    VALUES ('key:' || NEW.solver_id, 'solver', 'tlp_request', NEW.db_key::text, 1, NEW.assigned_at);
    INSERT INTO deadlines (name, subject, due) VALUES ('expire_assignment', NEW.db_key::text, NEW.deadline);
    UPDATE solvers SET tasks_taken = tasks_taken + 1, in_hand = in_hand + 1, last_assigned_at = NEW.assigned_at
    WHERE solver_id = NEW.solver_id;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_task_assignment_insert AFTER INSERT ON task_assignments
FOR EACH ROW EXECUTE FUNCTION on_task_assignment_insert();

-- The solver has nothing more to do for the assignment: its request, its deadline and its hand are free.
CREATE FUNCTION on_task_assignment_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'tlp_request' AND subject = NEW.db_key::text;
    DELETE FROM deadlines WHERE name = 'expire_assignment' AND subject = NEW.db_key::text;
    UPDATE solvers SET in_hand = in_hand - 1 WHERE solver_id = NEW.solver_id;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_task_assignment_end AFTER UPDATE OF status ON task_assignments
FOR EACH ROW WHEN (OLD.status IN ('offered', 'accepted') AND NEW.status NOT IN ('offered', 'accepted'))
EXECUTE FUNCTION on_task_assignment_end();

-- A task that has ended is no longer one of its client's open tasks.
CREATE FUNCTION on_task_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE clients SET open_tasks = open_tasks - 1 WHERE client_id = NEW.client_id;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_task_end AFTER UPDATE OF status ON tasks
FOR EACH ROW WHEN (OLD.status IN ('waiting', 'assigned') AND NEW.status NOT IN ('waiting', 'assigned'))
EXECUTE FUNCTION on_task_end();

-- A score moves by a row of its history alone: the row fits the score it found, the score follows the row, and its
-- holder is told.
CREATE FUNCTION on_score_history_insert_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM score_history WHERE hotkey = NEW.hotkey AND standing = NEW.standing AND id >= NEW.id) THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'score_history is append-only';
    END IF;
    IF NEW.standing = 'solver' AND NOT EXISTS (SELECT 1 FROM solvers s JOIN participants p
            ON p.fingerprint = s.solver_id WHERE p.hotkey = NEW.hotkey)
        OR NEW.standing = 'client' AND NOT EXISTS (SELECT 1 FROM clients c JOIN participants p
            ON p.fingerprint = c.client_id WHERE p.hotkey = NEW.hotkey) THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'score_history: there is no such score';
    END IF;
    IF abs(NEW.score_after - NEW.score_change - coalesce(
        (SELECT score_after FROM score_history WHERE hotkey = NEW.hotkey AND standing = NEW.standing
         ORDER BY id DESC LIMIT 1), 50)) > 0.0000005 THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'score_history: the change does not fit the score';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_score_history_insert_check BEFORE INSERT ON score_history
FOR EACH ROW EXECUTE FUNCTION on_score_history_insert_check();

CREATE FUNCTION on_score_history_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE solvers SET reputation_score = NEW.score_after WHERE NEW.standing = 'solver'
        AND solver_id = (SELECT fingerprint FROM participants WHERE hotkey = NEW.hotkey);
    UPDATE clients SET reputation_score = NEW.score_after WHERE NEW.standing = 'client'
        AND client_id = (SELECT fingerprint FROM participants WHERE hotkey = NEW.hotkey);
    INSERT INTO outbox (receiver, endpoint, kind, subject, created_at)
    SELECT 'key:' || fingerprint, NEW.standing, 'standing_changed', NEW.id::text, NEW.created_at FROM participants
    WHERE hotkey = NEW.hotkey AND NEW.standing IN ('solver', 'client');
    RETURN NEW;
END
$$;

CREATE TRIGGER on_score_history_insert AFTER INSERT ON score_history
FOR EACH ROW EXECUTE FUNCTION on_score_history_insert();

CREATE FUNCTION score_history_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'score_history is append-only';
END
$$;

CREATE TRIGGER score_history_is_never_updated BEFORE UPDATE ON score_history
FOR EACH ROW EXECUTE FUNCTION score_history_is_append_only();

CREATE TRIGGER score_history_is_never_deleted BEFORE DELETE ON score_history
FOR EACH ROW EXECUTE FUNCTION score_history_is_append_only();

CREATE TRIGGER score_history_is_never_emptied BEFORE TRUNCATE ON score_history
FOR EACH STATEMENT EXECUTE FUNCTION score_history_is_append_only();

-- A key begins at 50, or where its history has left it.
CREATE FUNCTION score_follows_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.reputation_score IS DISTINCT FROM coalesce((
        SELECT h.score_after FROM participants p JOIN score_history h ON h.hotkey = p.hotkey AND h.standing = TG_ARGV[0]
        WHERE p.fingerprint = CASE TG_ARGV[0] WHEN 'solver' THEN to_jsonb(NEW) ->> 'solver_id'
                                              ELSE to_jsonb(NEW) ->> 'client_id' END
        ORDER BY h.id DESC LIMIT 1), 50) THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = TG_TABLE_NAME || '.reputation_score follows score_history';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER solver_score_follows_history AFTER UPDATE OF reputation_score ON solvers
FOR EACH ROW WHEN (NEW.reputation_score <> OLD.reputation_score) EXECUTE FUNCTION score_follows_history('solver');

CREATE TRIGGER client_score_follows_history AFTER UPDATE OF reputation_score ON clients
FOR EACH ROW WHEN (NEW.reputation_score <> OLD.reputation_score) EXECUTE FUNCTION score_follows_history('client');

CREATE TRIGGER solver_score_begins_with_history AFTER INSERT ON solvers
FOR EACH ROW EXECUTE FUNCTION score_follows_history('solver');

CREATE TRIGGER client_score_begins_with_history AFTER INSERT ON clients
FOR EACH ROW EXECUTE FUNCTION score_follows_history('client');
