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

-- The solver has nothing more to do for the assignment: its requests, its deadline and its hand are free.
CREATE FUNCTION on_task_assignment_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'tlp_request' AND subject = NEW.db_key::text;
    DELETE FROM outbox WHERE standing = 1 AND kind = 'checkpoint_offered' AND subject = NEW.db_key::text;
    DELETE FROM deadlines WHERE name = 'expire_assignment' AND subject = NEW.db_key::text;
    UPDATE solvers SET in_hand = in_hand - 1 WHERE solver_id = NEW.solver_id;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_task_assignment_end AFTER UPDATE OF status ON task_assignments
FOR EACH ROW WHEN (OLD.status IN ('offered', 'accepted') AND NEW.status NOT IN ('offered', 'accepted'))
EXECUTE FUNCTION on_task_assignment_end();

-- A task that has ended is no longer one of its client's open tasks, and nobody goes on from its checkpoints.
CREATE FUNCTION on_task_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE clients SET open_tasks = open_tasks - 1 WHERE client_id = NEW.client_id;
    DELETE FROM relays WHERE task_id = NEW.fingerprint;
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
    UPDATE participants SET reputation_score = NEW.score_after
    WHERE NEW.standing = 'participant' AND hotkey = NEW.hotkey;
    UPDATE clients SET reputation_score = NEW.score_after WHERE NEW.standing = 'client'
        AND client_id = (SELECT fingerprint FROM participants WHERE hotkey = NEW.hotkey);
    INSERT INTO outbox (receiver, endpoint, kind, subject, created_at)
    SELECT 'key:' || fingerprint, CASE NEW.standing WHEN 'participant' THEN 'subnet' ELSE NEW.standing END,
           'standing_changed', NEW.id::text, NEW.created_at FROM participants
    WHERE hotkey = NEW.hotkey AND NEW.standing IN ('solver', 'client', 'participant');
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

-- The subnet. A participant's score moves by its history alone, as a solver's and a client's do; nobody has a history
-- before he takes part.
CREATE FUNCTION participant_score_follows_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.reputation_score <> coalesce((
        SELECT h.score_after FROM score_history h WHERE h.hotkey = NEW.hotkey AND h.standing = 'participant'
        ORDER BY h.id DESC LIMIT 1), 50) THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'participants.reputation_score follows score_history';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER participant_score_follows_history AFTER UPDATE OF reputation_score ON participants
FOR EACH ROW WHEN (NEW.reputation_score <> OLD.reputation_score) EXECUTE FUNCTION participant_score_follows_history();

CREATE TRIGGER participant_score_begins_at_50 AFTER INSERT ON participants
FOR EACH ROW WHEN (NEW.reputation_score <> 50) EXECUTE FUNCTION participant_score_follows_history();

CREATE FUNCTION subnet_refuse(said text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = said;
END
$$;

CREATE FUNCTION subnet_row_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM subnet_refuse(TG_TABLE_NAME || ': this is never changed');
    RETURN NULL;
END
$$;

-- A task begins assigned; its miner and those who help him have a request that stays until it is answered or over.
CREATE TRIGGER subnet_task_begins_assigned BEFORE INSERT ON subnet_tasks
FOR EACH ROW WHEN (NEW.status <> 'assigned') EXECUTE FUNCTION subnet_row_stays();

CREATE FUNCTION on_subnet_task_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO deadlines (name, subject, due) VALUES ('expire_subnet_task', NEW.id::text, NEW.expire_at);
    INSERT INTO outbox (receiver, endpoint, kind, subject, standing, created_at)
    SELECT 'key:' || p.fingerprint, 'subnet', 'task_assigned', NEW.id::text, 1, NEW.created_at FROM participants p
    WHERE p.hotkey = NEW.assigned_miner_hotkey OR p.hotkey IN (
        SELECT contributor_hotkey FROM miner_contributors
        WHERE miner_hotkey = NEW.assigned_miner_hotkey AND revoked_at IS NULL);
    RETURN NEW;
END
$$;

CREATE TRIGGER on_subnet_task_insert AFTER INSERT ON subnet_tasks
FOR EACH ROW EXECUTE FUNCTION on_subnet_task_insert();

CREATE FUNCTION subnet_task_moves_as_it_may() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> OLD.status
        AND NOT (OLD.status = 'assigned' AND NEW.status IN ('submitted', 'expired', 'cancelled'))
        AND NOT (OLD.status = 'submitted' AND NEW.status = 'scored') THEN
        PERFORM subnet_refuse('subnet_tasks: nothing leads from this state to that one');
    END IF;
    IF NEW.id <> OLD.id OR NEW.task_type <> OLD.task_type OR NEW.task_metadata <> OLD.task_metadata
        OR NEW.validator_hotkey <> OLD.validator_hotkey OR NEW.assigned_miner_hotkey <> OLD.assigned_miner_hotkey
        OR NEW.created_at <> OLD.created_at OR coalesce(NEW.submitted_at <> OLD.submitted_at, FALSE)
        OR (NEW.validator_completion_id <> OLD.validator_completion_id AND OLD.validator_completion_id <> 0) THEN
        PERFORM subnet_refuse('subnet_tasks: this is never changed');
    END IF;
    IF NEW.status = 'submitted' AND NOT EXISTS (
        SELECT 1 FROM completions c WHERE c.task_id = OLD.id AND c.hotkey <> OLD.validator_hotkey) THEN
        PERFORM subnet_refuse('subnet_tasks: there is no answer');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER subnet_task_moves_as_it_may BEFORE UPDATE ON subnet_tasks
FOR EACH ROW EXECUTE FUNCTION subnet_task_moves_as_it_may();

CREATE FUNCTION on_subnet_task_end_of_assignment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'task_assigned' AND subject = NEW.id::text;
    DELETE FROM deadlines WHERE name = 'expire_subnet_task' AND subject = NEW.id::text;
    IF NEW.status = 'submitted' THEN
        INSERT INTO deadlines (name, subject, due) VALUES ('close_voting', NEW.id::text, NEW.voting_closes_at);
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_subnet_task_end_of_assignment AFTER UPDATE OF status ON subnet_tasks
FOR EACH ROW WHEN (OLD.status = 'assigned' AND NEW.status <> 'assigned')
EXECUTE FUNCTION on_subnet_task_end_of_assignment();

CREATE FUNCTION on_subnet_task_end_of_voting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'vote_requested' AND subject = NEW.id::text;
    DELETE FROM deadlines WHERE name = 'close_voting' AND subject = NEW.id::text;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_subnet_task_end_of_voting AFTER UPDATE OF status ON subnet_tasks
FOR EACH ROW WHEN (OLD.status = 'submitted' AND NEW.status <> 'submitted')
EXECUTE FUNCTION on_subnet_task_end_of_voting();

CREATE TRIGGER subnet_task_stays BEFORE DELETE ON subnet_tasks FOR EACH ROW EXECUTE FUNCTION subnet_row_stays();

-- Seed 001: at most one miner completion a task, by its miner or who is linked to him and not revoked; in time. The
-- task's row is locked first: two at once would both see none.
CREATE FUNCTION on_completion_insert_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    t subnet_tasks%ROWTYPE;
BEGIN
    SELECT * INTO t FROM subnet_tasks WHERE id = NEW.task_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NEW;
    END IF;
    IF NEW.hotkey <> t.validator_hotkey AND EXISTS (
        SELECT 1 FROM completions c WHERE c.task_id = t.id AND c.hotkey <> t.validator_hotkey) THEN
        PERFORM subnet_refuse('completions: the task has its one miner completion');
    END IF;
    IF NEW.hotkey <> t.validator_hotkey AND NEW.hotkey <> t.assigned_miner_hotkey AND NOT EXISTS (
        SELECT 1 FROM miner_contributors l WHERE l.contributor_hotkey = NEW.hotkey
        AND l.miner_hotkey = t.assigned_miner_hotkey AND l.revoked_at IS NULL) THEN
        PERFORM subnet_refuse('completions: neither the assigned miner nor an active contributor');
    END IF;
    IF t.status <> 'assigned' OR NEW.created_at >= t.expire_at THEN
        PERFORM subnet_refuse('completions: the task takes none any more');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_completion_insert_check BEFORE INSERT ON completions
FOR EACH ROW EXECUTE FUNCTION on_completion_insert_check();

CREATE TRIGGER completion_is_never_changed BEFORE UPDATE ON completions
FOR EACH ROW EXECUTE FUNCTION subnet_row_stays();

CREATE TRIGGER completion_is_never_deleted BEFORE DELETE ON completions
FOR EACH ROW EXECUTE FUNCTION subnet_row_stays();

-- A vote is by somebody who may judge the task, in time, and weighs what his reputation makes it weigh.
CREATE FUNCTION on_vote_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM subnet_voters v WHERE v.task_id = NEW.task_id AND v.hotkey = NEW.voter_hotkey
        AND NEW.updated_at < v.voting_closes_at
        AND abs(NEW.weight - CASE WHEN v.reputation_score > 5 THEN v.reputation_score / 100 ELSE 0.05 END) < 0.0000005)
    THEN
        PERFORM subnet_refuse('votes: this key may not judge this task now');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_vote_insert_check BEFORE INSERT ON votes FOR EACH ROW EXECUTE FUNCTION on_vote_check();

CREATE TRIGGER on_vote_update_check BEFORE UPDATE ON votes FOR EACH ROW EXECUTE FUNCTION on_vote_check();

CREATE TRIGGER vote_keeps_what_it_is BEFORE UPDATE ON votes
FOR EACH ROW WHEN (NEW.id <> OLD.id OR NEW.task_id <> OLD.task_id OR NEW.voter_hotkey <> OLD.voter_hotkey
                   OR NEW.created_at <> OLD.created_at)
EXECUTE FUNCTION subnet_row_stays();

CREATE FUNCTION on_vote_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'vote_requested' AND subject = NEW.task_id::text
        AND receiver = (SELECT 'key:' || fingerprint FROM participants WHERE hotkey = NEW.voter_hotkey);
    RETURN NEW;
END
$$;

CREATE TRIGGER on_vote_insert AFTER INSERT ON votes FOR EACH ROW EXECUTE FUNCTION on_vote_insert();

CREATE TRIGGER vote_is_never_deleted BEFORE DELETE ON votes FOR EACH ROW EXECUTE FUNCTION subnet_row_stays();

-- Whoever helps a miner has the requests of his open tasks, from the link to its end, and judges none of them.
CREATE FUNCTION on_contributor_link() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (receiver, endpoint, kind, subject, standing, created_at)
    SELECT 'key:' || p.fingerprint, 'subnet', 'task_assigned', t.id::text, 1, NEW.created_at
    FROM subnet_tasks t JOIN participants p ON p.hotkey = NEW.contributor_hotkey
    WHERE t.assigned_miner_hotkey = NEW.miner_hotkey AND t.status = 'assigned' ORDER BY t.id;
    DELETE FROM outbox WHERE standing = 1 AND kind = 'vote_requested'
        AND receiver = (SELECT 'key:' || fingerprint FROM participants WHERE hotkey = NEW.contributor_hotkey)
        AND subject IN (SELECT t.id::text FROM subnet_tasks t
                        WHERE t.assigned_miner_hotkey = NEW.miner_hotkey AND t.status = 'submitted');
    RETURN NEW;
END
$$;

CREATE TRIGGER on_contributor_link AFTER INSERT ON miner_contributors
FOR EACH ROW WHEN (NEW.revoked_at IS NULL) EXECUTE FUNCTION on_contributor_link();

CREATE TRIGGER on_contributor_link_again AFTER UPDATE ON miner_contributors
FOR EACH ROW WHEN (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS NULL) EXECUTE FUNCTION on_contributor_link();

CREATE FUNCTION on_contributor_revoke() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'task_assigned'
        AND receiver = (SELECT 'key:' || fingerprint FROM participants WHERE hotkey = NEW.contributor_hotkey)
        AND subject IN (SELECT t.id::text FROM subnet_tasks t
                        WHERE t.assigned_miner_hotkey = NEW.miner_hotkey AND t.status = 'assigned');
    RETURN NEW;
END
$$;

CREATE TRIGGER on_contributor_revoke AFTER UPDATE ON miner_contributors
FOR EACH ROW WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION on_contributor_revoke();

CREATE TRIGGER contributor_link_changes_as_it_may BEFORE UPDATE ON miner_contributors
FOR EACH ROW WHEN (NEW.contributor_hotkey <> OLD.contributor_hotkey OR (OLD.revoked_at IS NULL
                   AND (NEW.miner_hotkey <> OLD.miner_hotkey OR NEW.created_at <> OLD.created_at)))
EXECUTE FUNCTION subnet_row_stays();

CREATE TRIGGER contributor_link_stays BEFORE DELETE ON miner_contributors
FOR EACH ROW EXECUTE FUNCTION subnet_row_stays();
