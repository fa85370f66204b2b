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

-- A score moves by a row of its history alone: the row fits the score it found, the score follows the row, and its
-- holder is told. (INSERT OR REPLACE would take a row away without firing the trigger on DELETE; a row that names its
-- own number is let in only behind all others.)
CREATE TRIGGER on_score_history_insert_check BEFORE INSERT ON score_history
BEGIN
    SELECT RAISE(ABORT, 'score_history is append-only') WHERE EXISTS (SELECT 1 FROM score_history WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'score_history: there is no such score') WHERE
        (NEW.standing = 'solver' AND NOT EXISTS (SELECT 1 FROM solvers s JOIN participants p
            ON p.fingerprint = s.solver_id WHERE p.hotkey = NEW.hotkey))
        OR (NEW.standing = 'client' AND NOT EXISTS (SELECT 1 FROM clients c JOIN participants p
            ON p.fingerprint = c.client_id WHERE p.hotkey = NEW.hotkey));
    SELECT RAISE(ABORT, 'score_history: the change does not fit the score') WHERE abs(
        NEW.score_after - NEW.score_change - coalesce(
            (SELECT score_after FROM score_history WHERE hotkey = NEW.hotkey AND standing = NEW.standing
             ORDER BY id DESC LIMIT 1), 50)) > 0.0000005;
END;

CREATE TRIGGER on_score_history_insert AFTER INSERT ON score_history
BEGIN
    SELECT RAISE(ABORT, 'score_history is append-only')
    WHERE NEW.id < 1 OR EXISTS (SELECT 1 FROM score_history WHERE id > NEW.id);
    UPDATE solvers SET reputation_score = NEW.score_after WHERE NEW.standing = 'solver'
        AND solver_id = (SELECT fingerprint FROM participants WHERE hotkey = NEW.hotkey);
    UPDATE clients SET reputation_score = NEW.score_after WHERE NEW.standing = 'client'
        AND client_id = (SELECT fingerprint FROM participants WHERE hotkey = NEW.hotkey);
    INSERT INTO outbox (receiver, endpoint, kind, subject, created_at)
    SELECT 'key:' || fingerprint, NEW.standing, 'standing_changed', NEW.id, NEW.created_at FROM participants
    WHERE hotkey = NEW.hotkey AND NEW.standing IN ('solver', 'client');
END;

CREATE TRIGGER score_history_is_never_updated BEFORE UPDATE ON score_history
BEGIN
    SELECT RAISE(ABORT, 'score_history is append-only');
END;

CREATE TRIGGER score_history_is_never_deleted BEFORE DELETE ON score_history
BEGIN
    SELECT RAISE(ABORT, 'score_history is append-only');
END;

CREATE TRIGGER solver_score_follows_history AFTER UPDATE OF reputation_score ON solvers
WHEN NEW.reputation_score <> OLD.reputation_score AND NOT EXISTS (
    SELECT 1 FROM participants p JOIN score_history h ON h.hotkey = p.hotkey AND h.standing = 'solver'
    WHERE p.fingerprint = NEW.solver_id AND h.score_after = NEW.reputation_score
      AND h.id = (SELECT max(id) FROM score_history WHERE hotkey = p.hotkey AND standing = 'solver'))
BEGIN
    SELECT RAISE(ABORT, 'solvers.reputation_score follows score_history');
END;

CREATE TRIGGER client_score_follows_history AFTER UPDATE OF reputation_score ON clients
WHEN NEW.reputation_score <> OLD.reputation_score AND NOT EXISTS (
    SELECT 1 FROM participants p JOIN score_history h ON h.hotkey = p.hotkey AND h.standing = 'client'
    WHERE p.fingerprint = NEW.client_id AND h.score_after = NEW.reputation_score
      AND h.id = (SELECT max(id) FROM score_history WHERE hotkey = p.hotkey AND standing = 'client'))
BEGIN
    SELECT RAISE(ABORT, 'clients.reputation_score follows score_history');
END;

-- A key begins at 50, or where its history has left it.
CREATE TRIGGER solver_score_begins_with_history AFTER INSERT ON solvers
WHEN NEW.reputation_score <> coalesce((
    SELECT h.score_after FROM participants p JOIN score_history h ON h.hotkey = p.hotkey AND h.standing = 'solver'
    WHERE p.fingerprint = NEW.solver_id ORDER BY h.id DESC LIMIT 1), 50)
BEGIN
    SELECT RAISE(ABORT, 'solvers.reputation_score follows score_history');
END;

CREATE TRIGGER client_score_begins_with_history AFTER INSERT ON clients
WHEN NEW.reputation_score <> coalesce((
    SELECT h.score_after FROM participants p JOIN score_history h ON h.hotkey = p.hotkey AND h.standing = 'client'
    WHERE p.fingerprint = NEW.client_id ORDER BY h.id DESC LIMIT 1), 50)
BEGIN
    SELECT RAISE(ABORT, 'clients.reputation_score follows score_history');
END;
