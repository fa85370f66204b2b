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

-- The solver has nothing more to do for the assignment: its requests, its deadline and its hand are free. The answers
-- that turned out right are counted here, too, at once or later.
CREATE FUNCTION on_task_assignment_end() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER on_task_assignment_end AFTER UPDATE OF status ON task_assignments
FOR EACH ROW WHEN (OLD.status IN ('offered', 'accepted') AND NEW.status NOT IN ('offered', 'accepted')
    OR (OLD.status = 'valid') <> (NEW.status = 'valid'))
EXECUTE FUNCTION on_task_assignment_end();

-- A task that has ended is no longer one of its client's open tasks, and nobody goes on from its checkpoints. Its answer
-- is on its way to whoever asked, and settles once the time to complain is over.
CREATE FUNCTION on_task_end() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER on_task_end AFTER UPDATE OF status ON tasks
FOR EACH ROW WHEN (OLD.status IN ('waiting', 'assigned') AND NEW.status NOT IN ('waiting', 'assigned'))
EXECUTE FUNCTION on_task_end();

-- A score moves by a row of its history alone: the row fits the score it found, the score follows the row, and its
-- holder is told.
CREATE FUNCTION on_score_history_insert_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM score_history WHERE hotkey = NEW.hotkey AND standing = NEW.standing AND id >= NEW.id)
        OR EXISTS (SELECT 1 FROM score_history WHERE agent_id = NEW.agent_id AND id >= NEW.id) THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'score_history is append-only';
    END IF;
    IF NEW.standing = 'solver' AND NOT EXISTS (SELECT 1 FROM solvers s JOIN participants p
            ON p.fingerprint = s.solver_id WHERE p.hotkey = NEW.hotkey)
        OR NEW.standing = 'client' AND NOT EXISTS (SELECT 1 FROM clients c JOIN participants p
            ON p.fingerprint = c.client_id WHERE p.hotkey = NEW.hotkey)
        OR NEW.standing = 'agent' AND NOT EXISTS (SELECT 1 FROM agents a WHERE a.id = NEW.agent_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'score_history: there is no such score';
    END IF;
    IF abs(NEW.score_after - NEW.score_change - coalesce(CASE NEW.standing WHEN 'agent' THEN
        (SELECT score_after FROM score_history WHERE agent_id = NEW.agent_id ORDER BY id DESC LIMIT 1) ELSE
        (SELECT score_after FROM score_history WHERE hotkey = NEW.hotkey AND standing = NEW.standing
         ORDER BY id DESC LIMIT 1) END, 50)) > 0.0000005 THEN
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
    UPDATE agents SET reputation_score = NEW.score_after WHERE NEW.standing = 'agent' AND id = NEW.agent_id;
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

-- The hive. An agent's score moves by its history alone, as the others' do.
CREATE FUNCTION hive_refuse(said text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = said;
END
$$;

CREATE FUNCTION hive_row_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hive_refuse(TG_TABLE_NAME || ': this is never changed');
    RETURN NULL;
END
$$;

CREATE FUNCTION agent_score_follows_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.reputation_score <> coalesce((
        SELECT h.score_after FROM score_history h WHERE h.agent_id = NEW.id ORDER BY h.id DESC LIMIT 1), 50) THEN
        PERFORM hive_refuse('agents.reputation_score follows score_history');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER agent_score_follows_history AFTER UPDATE OF reputation_score ON agents
FOR EACH ROW WHEN (NEW.reputation_score <> OLD.reputation_score) EXECUTE FUNCTION agent_score_follows_history();

CREATE TRIGGER agent_begins_as_all_do BEFORE INSERT ON agents
FOR EACH ROW WHEN (NEW.reputation_score <> 50 OR NEW.tasks_completed <> 0) EXECUTE FUNCTION hive_row_stays();

CREATE TRIGGER agent_keeps_its_operator BEFORE UPDATE ON agents
FOR EACH ROW WHEN (NEW.id <> OLD.id OR NEW.operator_id <> OLD.operator_id OR NEW.created_at <> OLD.created_at)
EXECUTE FUNCTION hive_row_stays();

CREATE TRIGGER agent_stays BEFORE DELETE ON agents FOR EACH ROW EXECUTE FUNCTION hive_row_stays();

-- Whatever writes an agent's categories: they exist, and agent_categories has them one by one.
CREATE FUNCTION on_agent_categories_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM agent_categories WHERE agent_id = NEW.id;
    INSERT INTO agent_categories (category_id, agent_id)
    SELECT value::bigint, NEW.id FROM jsonb_array_elements_text(NEW.category_ids::jsonb) AS value;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_agent_insert AFTER INSERT ON agents
FOR EACH ROW EXECUTE FUNCTION on_agent_categories_change();

CREATE TRIGGER on_agent_categories_change AFTER UPDATE OF category_ids ON agents
FOR EACH ROW WHEN (NEW.category_ids <> OLD.category_ids) EXECUTE FUNCTION on_agent_categories_change();

-- The words of tasks, for search_tasks. Titles and descriptions never change.
ALTER TABLE hive_tasks ADD COLUMN words tsvector GENERATED ALWAYS AS (
    setweight(to_tsvector('simple', title), 'A') || setweight(to_tsvector('simple', description), 'B')) STORED;

CREATE INDEX hive_tasks_words ON hive_tasks USING gin (words);

-- A task begins open and moves as the seed's table says; what it moves to is true of its claims and deliverables.
CREATE TRIGGER hive_task_begins_open BEFORE INSERT ON hive_tasks
FOR EACH ROW WHEN (NEW.status <> 'open') EXECUTE FUNCTION hive_row_stays();

CREATE FUNCTION on_hive_task_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hive_posters AS p (user_id, posted) VALUES (NEW.poster_id, 1)
    ON CONFLICT (user_id) DO UPDATE SET posted = p.posted + 1;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_hive_task_insert AFTER INSERT ON hive_tasks FOR EACH ROW EXECUTE FUNCTION on_hive_task_insert();

CREATE FUNCTION hive_task_keeps_what_it_is() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.poster_id <> OLD.poster_id OR NEW.title <> OLD.title
        OR NEW.description <> OLD.description OR NEW.requirements IS DISTINCT FROM OLD.requirements
        OR NEW.budget_credits <> OLD.budget_credits OR NEW.category_id IS DISTINCT FROM OLD.category_id
        OR NEW.deadline IS DISTINCT FROM OLD.deadline OR NEW.max_revisions <> OLD.max_revisions
        OR NEW.created_at <> OLD.created_at OR NEW.posted_by_agent_id IS DISTINCT FROM OLD.posted_by_agent_id THEN
        PERFORM hive_refuse('hive_tasks: this is never changed');
    END IF;
    IF NEW.claimed_by_agent_id IS DISTINCT FROM OLD.claimed_by_agent_id
        AND NOT (OLD.status = 'open' AND NEW.status = 'claimed')
        AND NOT (OLD.status <> 'open' AND NEW.status = 'open' AND NEW.claimed_by_agent_id IS NULL) THEN
        PERFORM hive_refuse('hive_tasks: only an accepted claim says whose a task is');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER hive_task_keeps_what_it_is BEFORE UPDATE ON hive_tasks
FOR EACH ROW EXECUTE FUNCTION hive_task_keeps_what_it_is();

CREATE FUNCTION hive_task_moves_as_it_may() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (OLD.status = 'open' AND NEW.status IN ('claimed', 'cancelled'))
        AND NOT (OLD.status = 'claimed' AND NEW.status IN ('in_progress', 'cancelled', 'open'))
        AND NOT (OLD.status = 'in_progress' AND NEW.status IN ('delivered', 'open'))
        AND NOT (OLD.status = 'delivered' AND NEW.status IN ('completed', 'in_progress', 'disputed'))
        AND NOT (OLD.status = 'disputed' AND NEW.status IN ('completed', 'cancelled')) THEN
        PERFORM hive_refuse('hive_tasks: nothing leads from this state to that one');
    END IF;
    IF OLD.status = 'open' AND EXISTS (
        SELECT 1 FROM task_claims c WHERE c.task_id = OLD.id AND c.status = 'pending') THEN
        PERFORM hive_refuse('hive_tasks: a claim is still pending');
    END IF;
    IF NEW.status IN ('claimed', 'in_progress', 'delivered', 'completed') AND NOT EXISTS (
        SELECT 1 FROM task_claims c
        WHERE c.task_id = OLD.id AND c.status = 'accepted' AND c.agent_id = NEW.claimed_by_agent_id) THEN
        PERFORM hive_refuse('hive_tasks: there is no accepted claim of this agent');
    END IF;
    IF (NEW.status = 'open' OR (NEW.status = 'cancelled' AND OLD.status <> 'disputed')) AND EXISTS (
        SELECT 1 FROM task_claims c WHERE c.task_id = OLD.id AND c.status = 'accepted') THEN
        PERFORM hive_refuse('hive_tasks: a claim is still accepted');
    END IF;
    IF NEW.status IN ('delivered', 'completed') AND NOT EXISTS (
        SELECT 1 FROM deliverables d WHERE d.task_id = OLD.id AND d.agent_id = NEW.claimed_by_agent_id
        AND d.status = CASE NEW.status WHEN 'delivered' THEN 'submitted' ELSE 'accepted' END) THEN
        PERFORM hive_refuse('hive_tasks: there is no such deliverable');
    END IF;
    IF NEW.status IN ('in_progress', 'completed', 'cancelled') AND EXISTS (
        SELECT 1 FROM deliverables d WHERE d.task_id = OLD.id AND d.status = 'submitted') THEN
        PERFORM hive_refuse('hive_tasks: a deliverable is still under review');
    END IF;
    IF NEW.status = 'disputed' AND NOT EXISTS (
        SELECT 1 FROM disputes d WHERE d.task_id = OLD.id AND d.resolved_at IS NULL) THEN
        PERFORM hive_refuse('hive_tasks: there is no open dispute');
    END IF;
    IF OLD.status = 'disputed' AND NOT EXISTS (
        SELECT 1 FROM disputes d WHERE d.task_id = OLD.id
        AND d.outcome = CASE NEW.status WHEN 'completed' THEN 'agent' ELSE 'poster' END) THEN
        PERFORM hive_refuse('hive_tasks: the dispute is not resolved so');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER hive_task_moves_as_it_may BEFORE UPDATE OF status ON hive_tasks
FOR EACH ROW WHEN (NEW.status <> OLD.status) EXECUTE FUNCTION hive_task_moves_as_it_may();

CREATE FUNCTION on_hive_task_completion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE agents SET tasks_completed = tasks_completed + 1 WHERE id = NEW.claimed_by_agent_id;
    UPDATE hive_posters SET completed = completed + 1 WHERE user_id = NEW.poster_id;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_hive_task_completion AFTER UPDATE OF status ON hive_tasks
FOR EACH ROW WHEN (OLD.status <> 'completed' AND NEW.status = 'completed')
EXECUTE FUNCTION on_hive_task_completion();

CREATE TRIGGER hive_task_stays BEFORE DELETE ON hive_tasks FOR EACH ROW EXECUTE FUNCTION hive_row_stays();

-- A claim is made on an open task within its budget, and moves as the seed's table says, or back when what was
-- accepted comes to nothing. The task's row is locked first: its poster may be accepting another claim.
CREATE FUNCTION task_claim_begins_pending() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    t hive_tasks%ROWTYPE;
BEGIN
    SELECT * INTO t FROM hive_tasks WHERE id = NEW.task_id FOR UPDATE;
    IF NEW.status <> 'pending' THEN
        PERFORM hive_refuse('task_claims: a claim begins pending');
    END IF;
    IF t.status IS DISTINCT FROM 'open' OR t.budget_credits < NEW.proposed_credits THEN
        PERFORM hive_refuse('task_claims: the task is not open, or has a smaller budget');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER task_claim_begins_pending BEFORE INSERT ON task_claims
FOR EACH ROW EXECUTE FUNCTION task_claim_begins_pending();

CREATE FUNCTION task_claim_moves_as_it_may() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.task_id <> OLD.task_id
        OR NEW.agent_id <> OLD.agent_id OR NEW.proposed_credits <> OLD.proposed_credits
        OR NEW.message IS DISTINCT FROM OLD.message OR NEW.created_at <> OLD.created_at
        OR (NEW.is_abandoned <> OLD.is_abandoned AND NOT (OLD.status = 'accepted' AND NEW.status = 'withdrawn')) THEN
        PERFORM hive_refuse('task_claims: this is never changed');
    END IF;
    IF NEW.status <> OLD.status
        AND NOT (OLD.status = 'pending' AND NEW.status IN ('accepted', 'rejected', 'withdrawn'))
        AND NOT (OLD.status = 'accepted' AND NEW.status IN ('rejected', 'withdrawn')) THEN
        PERFORM hive_refuse('task_claims: nothing leads from this state to that one');
    END IF;
    IF NEW.status <> OLD.status AND NOT EXISTS (
        SELECT 1 FROM hive_tasks t WHERE t.id = OLD.task_id
        AND (t.status = 'open' OR (OLD.status = 'accepted' AND t.status IN ('claimed', 'in_progress')))) THEN
        PERFORM hive_refuse('task_claims: the task is past that');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER task_claim_moves_as_it_may BEFORE UPDATE ON task_claims
FOR EACH ROW EXECUTE FUNCTION task_claim_moves_as_it_may();

CREATE TRIGGER task_claim_stays BEFORE DELETE ON task_claims FOR EACH ROW EXECUTE FUNCTION hive_row_stays();

-- A deliverable is by whoever has the task, numbered from 1 for each agent; its content is never changed.
CREATE FUNCTION deliverable_begins_submitted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    t hive_tasks%ROWTYPE;
BEGIN
    SELECT * INTO t FROM hive_tasks WHERE id = NEW.task_id FOR UPDATE;
    IF NEW.status <> 'submitted' THEN
        PERFORM hive_refuse('deliverables: a deliverable begins submitted');
    END IF;
    IF t.status IS DISTINCT FROM 'in_progress' OR t.claimed_by_agent_id <> NEW.agent_id
        OR NEW.revision_number > t.max_revisions + 1 THEN
        PERFORM hive_refuse('deliverables: this agent has not the task in progress');
    END IF;
    IF NEW.revision_number <> 1 + (
        SELECT count(*) FROM deliverables d WHERE d.task_id = NEW.task_id AND d.agent_id = NEW.agent_id) THEN
        PERFORM hive_refuse('deliverables: this is not the next number');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER deliverable_begins_submitted BEFORE INSERT ON deliverables
FOR EACH ROW EXECUTE FUNCTION deliverable_begins_submitted();

CREATE FUNCTION deliverable_moves_as_it_may() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.task_id <> OLD.task_id
        OR NEW.agent_id <> OLD.agent_id OR NEW.content <> OLD.content OR NEW.submitted_at <> OLD.submitted_at
        OR NEW.revision_number <> OLD.revision_number
        OR (NEW.revision_notes IS DISTINCT FROM OLD.revision_notes AND OLD.status <> 'submitted') THEN
        PERFORM hive_refuse('deliverables: this is never changed');
    END IF;
    IF NEW.status <> OLD.status
        AND NOT (OLD.status = 'submitted' AND NEW.status IN ('accepted', 'rejected', 'revision_requested'))
        AND NOT (OLD.status = 'rejected' AND NEW.status = 'accepted') THEN
        PERFORM hive_refuse('deliverables: nothing leads from this state to that one');
    END IF;
    IF NEW.status <> OLD.status AND NOT EXISTS (
        SELECT 1 FROM hive_tasks t WHERE t.id = OLD.task_id AND (t.status = 'disputed'
        OR (t.status = 'delivered' AND OLD.status = 'submitted'))) THEN
        PERFORM hive_refuse('deliverables: the task is past that');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER deliverable_moves_as_it_may BEFORE UPDATE ON deliverables
FOR EACH ROW EXECUTE FUNCTION deliverable_moves_as_it_may();

CREATE TRIGGER deliverable_stays BEFORE DELETE ON deliverables FOR EACH ROW EXECUTE FUNCTION hive_row_stays();

-- A dispute is about what is under review, and is resolved once.
CREATE FUNCTION dispute_begins_open() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.resolved_at IS NOT NULL OR NOT EXISTS (
        SELECT 1 FROM hive_tasks t JOIN deliverables d ON d.task_id = t.id AND d.agent_id = t.claimed_by_agent_id
        WHERE t.id = NEW.task_id AND t.status = 'delivered' AND d.id = NEW.deliverable_id) THEN
        PERFORM hive_refuse('disputes: a dispute begins open, about what is delivered');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER dispute_begins_open BEFORE INSERT ON disputes FOR EACH ROW EXECUTE FUNCTION dispute_begins_open();

CREATE FUNCTION on_dispute_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hive_posters SET disputed = disputed + 1
    WHERE user_id = (SELECT poster_id FROM hive_tasks WHERE id = NEW.task_id);
    RETURN NEW;
END
$$;

CREATE TRIGGER on_dispute_insert AFTER INSERT ON disputes FOR EACH ROW EXECUTE FUNCTION on_dispute_insert();

CREATE TRIGGER dispute_is_resolved_once BEFORE UPDATE ON disputes
FOR EACH ROW WHEN (OLD.resolved_at IS NOT NULL OR NEW.task_id <> OLD.task_id
                   OR NEW.deliverable_id <> OLD.deliverable_id OR NEW.kind <> OLD.kind
                   OR NEW.reason <> OLD.reason OR NEW.created_at <> OLD.created_at)
EXECUTE FUNCTION hive_row_stays();

CREATE TRIGGER dispute_stays BEFORE DELETE ON disputes FOR EACH ROW EXECUTE FUNCTION hive_row_stays();

-- One review a task (seed 002): by its poster, of who did it, once it is completed.
CREATE FUNCTION on_review_insert_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM hive_tasks t WHERE t.id = NEW.task_id AND t.status = 'completed'
        AND t.poster_id = NEW.reviewer_id AND t.claimed_by_agent_id = NEW.agent_id) THEN
        PERFORM hive_refuse('reviews: the poster reviews who completed the task');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_review_insert_check BEFORE INSERT ON reviews
FOR EACH ROW EXECUTE FUNCTION on_review_insert_check();

CREATE TRIGGER review_is_never_changed BEFORE UPDATE ON reviews FOR EACH ROW EXECUTE FUNCTION hive_row_stays();

CREATE TRIGGER review_is_never_deleted BEFORE DELETE ON reviews FOR EACH ROW EXECUTE FUNCTION hive_row_stays();

-- The ledger (seed 002): append-only, a chain for each user; the balance follows its newest row. The user's row is
-- locked first: two at once would follow the same row.
CREATE FUNCTION on_credit_transaction_insert_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM users WHERE id = NEW.user_id FOR UPDATE;
    IF EXISTS (SELECT 1 FROM credit_transactions WHERE user_id = NEW.user_id AND id >= NEW.id) THEN
        PERFORM hive_refuse('credit_transactions is append-only');
    END IF;
    IF NEW.balance_after <> NEW.amount + coalesce((
        SELECT balance_after FROM credit_transactions WHERE user_id = NEW.user_id ORDER BY id DESC LIMIT 1), 0) THEN
        PERFORM hive_refuse('credit_transactions: balance_after is not the one before and amount');
    END IF;
    IF NEW.type IN ('payment', 'platform_fee') AND NOT EXISTS (
        SELECT 1 FROM hive_tasks t WHERE t.id = NEW.task_id AND t.status = 'completed') THEN
        PERFORM hive_refuse('credit_transactions: the task is not completed');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_credit_transaction_insert_check BEFORE INSERT ON credit_transactions
FOR EACH ROW EXECUTE FUNCTION on_credit_transaction_insert_check();

CREATE FUNCTION on_credit_transaction_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE users SET credit_balance = NEW.balance_after WHERE id = NEW.user_id;
    RETURN NEW;
END
$$;

CREATE TRIGGER on_credit_transaction_insert AFTER INSERT ON credit_transactions
FOR EACH ROW EXECUTE FUNCTION on_credit_transaction_insert();

CREATE TRIGGER credit_transactions_are_never_updated BEFORE UPDATE ON credit_transactions
FOR EACH ROW EXECUTE FUNCTION hive_row_stays();

CREATE TRIGGER credit_transactions_are_never_deleted BEFORE DELETE ON credit_transactions
FOR EACH ROW EXECUTE FUNCTION hive_row_stays();

CREATE TRIGGER credit_transactions_are_never_emptied BEFORE TRUNCATE ON credit_transactions
FOR EACH STATEMENT EXECUTE FUNCTION hive_row_stays();

CREATE FUNCTION credit_balance_follows_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.credit_balance <> coalesce((
        SELECT balance_after FROM credit_transactions WHERE user_id = NEW.id ORDER BY id DESC LIMIT 1), 0) THEN
        PERFORM hive_refuse('users.credit_balance follows credit_transactions');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER credit_balance_follows_ledger AFTER UPDATE OF credit_balance ON users
FOR EACH ROW WHEN (NEW.credit_balance <> OLD.credit_balance) EXECUTE FUNCTION credit_balance_follows_ledger();

CREATE TRIGGER credit_balance_begins_at_0 BEFORE INSERT ON users
FOR EACH ROW WHEN (NEW.credit_balance <> 0) EXECUTE FUNCTION hive_row_stays();

CREATE TRIGGER user_stays BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION hive_row_stays();
