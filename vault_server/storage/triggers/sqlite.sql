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

-- The solver has nothing more to do for the assignment: its requests, its deadline and its hand are free. The answers
-- that turned out right are counted here, too, at once or later: one trigger costs each UPDATE less than two.
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

-- A task that has ended is no longer one of its client's open tasks, and nobody goes on from its checkpoints. Its answer
-- is on its way to whoever asked, and settles once the time to complain is over.
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
            ON p.fingerprint = c.client_id WHERE p.hotkey = NEW.hotkey))
        OR (NEW.standing = 'agent' AND NOT EXISTS (SELECT 1 FROM agents a WHERE a.id = NEW.agent_id));
    SELECT RAISE(ABORT, 'score_history: the change does not fit the score') WHERE abs(
        NEW.score_after - NEW.score_change - coalesce(CASE NEW.standing WHEN 'agent' THEN
            (SELECT score_after FROM score_history WHERE agent_id = NEW.agent_id ORDER BY id DESC LIMIT 1) ELSE
            (SELECT score_after FROM score_history WHERE hotkey = NEW.hotkey AND standing = NEW.standing
             ORDER BY id DESC LIMIT 1) END, 50)) > 0.0000005;
END;

CREATE TRIGGER on_score_history_insert AFTER INSERT ON score_history
BEGIN
    SELECT RAISE(ABORT, 'score_history is append-only')
    WHERE NEW.id < 1 OR EXISTS (SELECT 1 FROM score_history WHERE id > NEW.id);
    UPDATE solvers SET reputation_score = NEW.score_after WHERE NEW.standing = 'solver'
        AND solver_id = (SELECT fingerprint FROM participants WHERE hotkey = NEW.hotkey);
    UPDATE participants SET reputation_score = NEW.score_after
    WHERE NEW.standing = 'participant' AND hotkey = NEW.hotkey;
    UPDATE clients SET reputation_score = NEW.score_after WHERE NEW.standing = 'client'
        AND client_id = (SELECT fingerprint FROM participants WHERE hotkey = NEW.hotkey);
    UPDATE agents SET reputation_score = NEW.score_after WHERE NEW.standing = 'agent' AND id = NEW.agent_id;
    INSERT INTO outbox (receiver, endpoint, kind, subject, created_at)
    SELECT 'key:' || fingerprint, CASE NEW.standing WHEN 'participant' THEN 'subnet' ELSE NEW.standing END,
           'standing_changed', NEW.id, NEW.created_at FROM participants
    WHERE hotkey = NEW.hotkey AND NEW.standing IN ('solver', 'client', 'participant');
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

-- The subnet. A participant's score moves by its history alone, as a solver's and a client's do; nobody has a history
-- before he takes part.
CREATE TRIGGER participant_score_follows_history AFTER UPDATE OF reputation_score ON participants
WHEN NEW.reputation_score <> OLD.reputation_score AND NEW.reputation_score <> coalesce((
    SELECT h.score_after FROM score_history h WHERE h.hotkey = NEW.hotkey AND h.standing = 'participant'
    ORDER BY h.id DESC LIMIT 1), 50)
BEGIN
    SELECT RAISE(ABORT, 'participants.reputation_score follows score_history');
END;

CREATE TRIGGER participant_score_begins_at_50 AFTER INSERT ON participants WHEN NEW.reputation_score <> 50
BEGIN
    SELECT RAISE(ABORT, 'participants.reputation_score follows score_history');
END;

-- A task begins assigned; its miner and those who help him have a request that stays until it is answered or over.
CREATE TRIGGER subnet_task_begins_assigned BEFORE INSERT ON subnet_tasks
BEGIN
    SELECT RAISE(ABORT, 'subnet_tasks: a task begins assigned') WHERE NEW.status <> 'assigned';
    SELECT RAISE(ABORT, 'subnet_tasks: a task stays') WHERE EXISTS (SELECT 1 FROM subnet_tasks WHERE id = NEW.id);
END;

CREATE TRIGGER on_subnet_task_insert AFTER INSERT ON subnet_tasks
BEGIN
    INSERT INTO deadlines (name, subject, due) VALUES ('expire_subnet_task', NEW.id, NEW.expire_at);
    INSERT INTO outbox (receiver, endpoint, kind, subject, standing, created_at)
    SELECT 'key:' || p.fingerprint, 'subnet', 'task_assigned', NEW.id, 1, NEW.created_at FROM participants p
    WHERE p.hotkey = NEW.assigned_miner_hotkey OR p.hotkey IN (
        SELECT contributor_hotkey FROM miner_contributors
        WHERE miner_hotkey = NEW.assigned_miner_hotkey AND revoked_at IS NULL);
END;

CREATE TRIGGER subnet_task_moves_as_it_may BEFORE UPDATE ON subnet_tasks
BEGIN
    SELECT RAISE(ABORT, 'subnet_tasks: nothing leads from this state to that one') WHERE NEW.status <> OLD.status
        AND NOT (OLD.status = 'assigned' AND NEW.status IN ('submitted', 'expired', 'cancelled'))
        AND NOT (OLD.status = 'submitted' AND NEW.status = 'scored');
    SELECT RAISE(ABORT, 'subnet_tasks: this is never changed') WHERE NEW.id <> OLD.id
        OR NEW.task_type <> OLD.task_type OR NEW.task_metadata <> OLD.task_metadata
        OR NEW.validator_hotkey <> OLD.validator_hotkey OR NEW.assigned_miner_hotkey <> OLD.assigned_miner_hotkey
        OR NEW.created_at <> OLD.created_at OR coalesce(NEW.submitted_at <> OLD.submitted_at, 0)
        OR (NEW.validator_completion_id <> OLD.validator_completion_id AND OLD.validator_completion_id <> 0);
    SELECT RAISE(ABORT, 'subnet_tasks: there is no answer') WHERE NEW.status = 'submitted' AND NOT EXISTS (
        SELECT 1 FROM completions c WHERE c.task_id = OLD.id AND c.hotkey <> OLD.validator_hotkey);
END;

CREATE TRIGGER on_subnet_task_end_of_assignment AFTER UPDATE OF status ON subnet_tasks
WHEN OLD.status = 'assigned' AND NEW.status <> 'assigned'
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'task_assigned' AND subject = CAST(NEW.id AS TEXT);
    DELETE FROM deadlines WHERE name = 'expire_subnet_task' AND subject = CAST(NEW.id AS TEXT);
    INSERT INTO deadlines (name, subject, due) SELECT 'close_voting', NEW.id, NEW.voting_closes_at
    WHERE NEW.status = 'submitted';
END;

CREATE TRIGGER on_subnet_task_end_of_voting AFTER UPDATE OF status ON subnet_tasks
WHEN OLD.status = 'submitted' AND NEW.status <> 'submitted'
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'vote_requested' AND subject = CAST(NEW.id AS TEXT);
    DELETE FROM deadlines WHERE name = 'close_voting' AND subject = CAST(NEW.id AS TEXT);
END;

CREATE TRIGGER subnet_task_stays BEFORE DELETE ON subnet_tasks
BEGIN
    SELECT RAISE(ABORT, 'subnet_tasks: a task stays');
END;

-- Seed 001: at most one miner completion a task, by its miner or who is linked to him and not revoked; in time.
CREATE TRIGGER on_completion_insert_check BEFORE INSERT ON completions
BEGIN
    SELECT RAISE(ABORT, 'completions: a completion is never changed') WHERE EXISTS (
        SELECT 1 FROM completions WHERE id = NEW.id OR (task_id = NEW.task_id AND hotkey = NEW.hotkey));
    SELECT RAISE(ABORT, 'completions: the task has its one miner completion') FROM subnet_tasks t
    WHERE t.id = NEW.task_id AND NEW.hotkey <> t.validator_hotkey AND EXISTS (
        SELECT 1 FROM completions c WHERE c.task_id = t.id AND c.hotkey <> t.validator_hotkey);
    SELECT RAISE(ABORT, 'completions: neither the assigned miner nor an active contributor') FROM subnet_tasks t
    WHERE t.id = NEW.task_id AND NEW.hotkey <> t.validator_hotkey AND NEW.hotkey <> t.assigned_miner_hotkey
      AND NOT EXISTS (SELECT 1 FROM miner_contributors l WHERE l.contributor_hotkey = NEW.hotkey
                      AND l.miner_hotkey = t.assigned_miner_hotkey AND l.revoked_at IS NULL);
    SELECT RAISE(ABORT, 'completions: the task takes none any more') FROM subnet_tasks t
    WHERE t.id = NEW.task_id AND (t.status <> 'assigned' OR NEW.created_at >= t.expire_at);
END;

CREATE TRIGGER completion_is_never_changed BEFORE UPDATE ON completions
BEGIN
    SELECT RAISE(ABORT, 'completions: a completion is never changed');
END;

CREATE TRIGGER completion_is_never_deleted BEFORE DELETE ON completions
BEGIN
    SELECT RAISE(ABORT, 'completions: a completion is never changed');
END;

-- A vote is by somebody who may judge the task, in time, and weighs what his reputation makes it weigh.
CREATE TRIGGER on_vote_insert_check BEFORE INSERT ON votes
BEGIN
    SELECT RAISE(ABORT, 'votes: a vote stays') WHERE EXISTS (SELECT 1 FROM votes WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'votes: this key may not judge this task now') WHERE NOT EXISTS (
        SELECT 1 FROM subnet_voters v WHERE v.task_id = NEW.task_id AND v.hotkey = NEW.voter_hotkey
        AND NEW.updated_at < v.voting_closes_at
        AND abs(NEW.weight - CASE WHEN v.reputation_score > 5 THEN v.reputation_score / 100 ELSE 0.05 END) < 0.0000005);
END;

CREATE TRIGGER on_vote_update_check BEFORE UPDATE ON votes
BEGIN
    SELECT RAISE(ABORT, 'votes: this is never changed') WHERE NEW.id <> OLD.id OR NEW.task_id <> OLD.task_id
        OR NEW.voter_hotkey <> OLD.voter_hotkey OR NEW.created_at <> OLD.created_at;
    SELECT RAISE(ABORT, 'votes: this key may not judge this task now') WHERE NOT EXISTS (
        SELECT 1 FROM subnet_voters v WHERE v.task_id = NEW.task_id AND v.hotkey = NEW.voter_hotkey
        AND NEW.updated_at < v.voting_closes_at
        AND abs(NEW.weight - CASE WHEN v.reputation_score > 5 THEN v.reputation_score / 100 ELSE 0.05 END) < 0.0000005);
END;

CREATE TRIGGER on_vote_insert AFTER INSERT ON votes
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'vote_requested' AND subject = CAST(NEW.task_id AS TEXT)
        AND receiver = (SELECT 'key:' || fingerprint FROM participants WHERE hotkey = NEW.voter_hotkey);
END;

CREATE TRIGGER vote_is_never_deleted BEFORE DELETE ON votes
BEGIN
    SELECT RAISE(ABORT, 'votes: a vote stays');
END;

-- Whoever helps a miner has the requests of his open tasks, from the link to its end, and judges none of them.
CREATE TRIGGER on_contributor_link AFTER INSERT ON miner_contributors WHEN NEW.revoked_at IS NULL
BEGIN
    INSERT INTO outbox (receiver, endpoint, kind, subject, standing, created_at)
    SELECT 'key:' || p.fingerprint, 'subnet', 'task_assigned', t.id, 1, NEW.created_at
    FROM subnet_tasks t JOIN participants p ON p.hotkey = NEW.contributor_hotkey
    WHERE t.assigned_miner_hotkey = NEW.miner_hotkey AND t.status = 'assigned' ORDER BY t.id;
    DELETE FROM outbox WHERE standing = 1 AND kind = 'vote_requested'
        AND receiver = (SELECT 'key:' || fingerprint FROM participants WHERE hotkey = NEW.contributor_hotkey)
        AND subject IN (SELECT CAST(t.id AS TEXT) FROM subnet_tasks t
                        WHERE t.assigned_miner_hotkey = NEW.miner_hotkey AND t.status = 'submitted');
END;

CREATE TRIGGER on_contributor_link_again AFTER UPDATE ON miner_contributors
WHEN OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS NULL
BEGIN
    INSERT INTO outbox (receiver, endpoint, kind, subject, standing, created_at)
    SELECT 'key:' || p.fingerprint, 'subnet', 'task_assigned', t.id, 1, NEW.created_at
    FROM subnet_tasks t JOIN participants p ON p.hotkey = NEW.contributor_hotkey
    WHERE t.assigned_miner_hotkey = NEW.miner_hotkey AND t.status = 'assigned' ORDER BY t.id;
    DELETE FROM outbox WHERE standing = 1 AND kind = 'vote_requested'
        AND receiver = (SELECT 'key:' || fingerprint FROM participants WHERE hotkey = NEW.contributor_hotkey)
        AND subject IN (SELECT CAST(t.id AS TEXT) FROM subnet_tasks t
                        WHERE t.assigned_miner_hotkey = NEW.miner_hotkey AND t.status = 'submitted');
END;

CREATE TRIGGER on_contributor_revoke AFTER UPDATE ON miner_contributors
WHEN OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'task_assigned'
        AND receiver = (SELECT 'key:' || fingerprint FROM participants WHERE hotkey = NEW.contributor_hotkey)
        AND subject IN (SELECT CAST(t.id AS TEXT) FROM subnet_tasks t
                        WHERE t.assigned_miner_hotkey = NEW.miner_hotkey AND t.status = 'assigned');
END;

CREATE TRIGGER contributor_link_changes_as_it_may BEFORE UPDATE ON miner_contributors
BEGIN
    SELECT RAISE(ABORT, 'miner_contributors: one contributor, one miner')
    WHERE NEW.contributor_hotkey <> OLD.contributor_hotkey
        OR (OLD.revoked_at IS NULL AND (NEW.miner_hotkey <> OLD.miner_hotkey OR NEW.created_at <> OLD.created_at));
END;

CREATE TRIGGER contributor_link_stays_one BEFORE INSERT ON miner_contributors
BEGIN
    SELECT RAISE(ABORT, 'miner_contributors: one contributor, one miner')
    WHERE EXISTS (SELECT 1 FROM miner_contributors WHERE contributor_hotkey = NEW.contributor_hotkey);
END;

CREATE TRIGGER contributor_link_stays BEFORE DELETE ON miner_contributors
BEGIN
    SELECT RAISE(ABORT, 'miner_contributors: a link stays');
END;

-- The hive. An agent's score moves by its history alone, as the others' do.
CREATE TRIGGER agent_score_follows_history AFTER UPDATE OF reputation_score ON agents
WHEN NEW.reputation_score <> OLD.reputation_score AND NEW.reputation_score <> coalesce((
    SELECT h.score_after FROM score_history h WHERE h.agent_id = NEW.id ORDER BY h.id DESC LIMIT 1), 50)
BEGIN
    SELECT RAISE(ABORT, 'agents.reputation_score follows score_history');
END;

CREATE TRIGGER agent_begins_as_all_do BEFORE INSERT ON agents
BEGIN
    SELECT RAISE(ABORT, 'agents: an agent stays') WHERE EXISTS (SELECT 1 FROM agents WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'agents.reputation_score follows score_history') WHERE NEW.reputation_score <> 50;
    SELECT RAISE(ABORT, 'agents.tasks_completed follows hive_tasks') WHERE NEW.tasks_completed <> 0;
END;

CREATE TRIGGER agent_keeps_its_operator BEFORE UPDATE ON agents
BEGIN
    SELECT RAISE(ABORT, 'agents: this is never changed')
    WHERE NEW.id <> OLD.id OR NEW.operator_id <> OLD.operator_id OR NEW.created_at <> OLD.created_at;
END;

CREATE TRIGGER agent_stays BEFORE DELETE ON agents
BEGIN
    SELECT RAISE(ABORT, 'agents: an agent stays');
END;

-- Whatever writes an agent's categories: they exist, and agent_categories has them one by one.
CREATE TRIGGER on_agent_insert AFTER INSERT ON agents
BEGIN
    INSERT INTO agent_categories (category_id, agent_id) SELECT value, NEW.id FROM json_each(NEW.category_ids);
END;

CREATE TRIGGER on_agent_categories_change AFTER UPDATE OF category_ids ON agents
WHEN NEW.category_ids <> OLD.category_ids
BEGIN
    DELETE FROM agent_categories WHERE agent_id = NEW.id;
    INSERT INTO agent_categories (category_id, agent_id) SELECT value, NEW.id FROM json_each(NEW.category_ids);
END;

-- The words of tasks, for search_tasks. Titles and descriptions never change.
CREATE VIRTUAL TABLE hive_tasks_text USING fts5 (
    title, description, content = 'hive_tasks', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 0');

CREATE TRIGGER on_hive_task_insert AFTER INSERT ON hive_tasks
BEGIN
    INSERT INTO hive_tasks_text (rowid, title, description) VALUES (NEW.id, NEW.title, NEW.description);
    INSERT INTO hive_posters (user_id, posted) VALUES (NEW.poster_id, 1)
    ON CONFLICT (user_id) DO UPDATE SET posted = posted + 1;
END;

-- A task begins open and moves as the seed's table says; what it moves to is true of its claims and deliverables.
CREATE TRIGGER hive_task_begins_open BEFORE INSERT ON hive_tasks
BEGIN
    SELECT RAISE(ABORT, 'hive_tasks: a task begins open') WHERE NEW.status <> 'open';
    SELECT RAISE(ABORT, 'hive_tasks: a task stays') WHERE EXISTS (SELECT 1 FROM hive_tasks WHERE id = NEW.id);
END;

CREATE TRIGGER hive_task_keeps_what_it_is BEFORE UPDATE ON hive_tasks
BEGIN
    SELECT RAISE(ABORT, 'hive_tasks: this is never changed') WHERE NEW.id <> OLD.id OR NEW.poster_id <> OLD.poster_id
        OR NEW.title <> OLD.title OR NEW.description <> OLD.description OR NEW.requirements IS NOT OLD.requirements
        OR NEW.budget_credits <> OLD.budget_credits OR NEW.category_id IS NOT OLD.category_id
        OR NEW.deadline IS NOT OLD.deadline OR NEW.max_revisions <> OLD.max_revisions
        OR NEW.created_at <> OLD.created_at OR NEW.posted_by_agent_id IS NOT OLD.posted_by_agent_id;
    SELECT RAISE(ABORT, 'hive_tasks: only an accepted claim says whose a task is')
    WHERE NEW.claimed_by_agent_id IS NOT OLD.claimed_by_agent_id
        AND NOT (OLD.status = 'open' AND NEW.status = 'claimed')
        AND NOT (OLD.status <> 'open' AND NEW.status = 'open' AND NEW.claimed_by_agent_id IS NULL);
END;

CREATE TRIGGER hive_task_moves_as_it_may BEFORE UPDATE OF status ON hive_tasks WHEN NEW.status <> OLD.status
BEGIN
    SELECT RAISE(ABORT, 'hive_tasks: nothing leads from this state to that one')
    WHERE NOT (OLD.status = 'open' AND NEW.status IN ('claimed', 'cancelled'))
        AND NOT (OLD.status = 'claimed' AND NEW.status IN ('in_progress', 'cancelled', 'open'))
        AND NOT (OLD.status = 'in_progress' AND NEW.status IN ('delivered', 'open'))
        AND NOT (OLD.status = 'delivered' AND NEW.status IN ('completed', 'in_progress', 'disputed'))
        AND NOT (OLD.status = 'disputed' AND NEW.status IN ('completed', 'cancelled'));
    SELECT RAISE(ABORT, 'hive_tasks: a claim is still pending') WHERE OLD.status = 'open' AND EXISTS (
        SELECT 1 FROM task_claims c WHERE c.task_id = OLD.id AND c.status = 'pending');
    SELECT RAISE(ABORT, 'hive_tasks: there is no accepted claim of this agent')
    WHERE NEW.status IN ('claimed', 'in_progress', 'delivered', 'completed') AND NOT EXISTS (
        SELECT 1 FROM task_claims c
        WHERE c.task_id = OLD.id AND c.status = 'accepted' AND c.agent_id = NEW.claimed_by_agent_id);
    SELECT RAISE(ABORT, 'hive_tasks: a claim is still accepted')
    WHERE (NEW.status = 'open' OR (NEW.status = 'cancelled' AND OLD.status <> 'disputed')) AND EXISTS (
        SELECT 1 FROM task_claims c WHERE c.task_id = OLD.id AND c.status = 'accepted');
    SELECT RAISE(ABORT, 'hive_tasks: there is no such deliverable')
    WHERE NEW.status IN ('delivered', 'completed') AND NOT EXISTS (
        SELECT 1 FROM deliverables d WHERE d.task_id = OLD.id AND d.agent_id = NEW.claimed_by_agent_id
        AND d.status = CASE NEW.status WHEN 'delivered' THEN 'submitted' ELSE 'accepted' END);
    SELECT RAISE(ABORT, 'hive_tasks: a deliverable is still under review')
    WHERE NEW.status IN ('in_progress', 'completed', 'cancelled') AND EXISTS (
        SELECT 1 FROM deliverables d WHERE d.task_id = OLD.id AND d.status = 'submitted');
    SELECT RAISE(ABORT, 'hive_tasks: there is no open dispute') WHERE NEW.status = 'disputed' AND NOT EXISTS (
        SELECT 1 FROM disputes d WHERE d.task_id = OLD.id AND d.resolved_at IS NULL);
    SELECT RAISE(ABORT, 'hive_tasks: the dispute is not resolved so') WHERE OLD.status = 'disputed' AND NOT EXISTS (
        SELECT 1 FROM disputes d WHERE d.task_id = OLD.id
        AND d.outcome = CASE NEW.status WHEN 'completed' THEN 'agent' ELSE 'poster' END);
END;

CREATE TRIGGER on_hive_task_completion AFTER UPDATE OF status ON hive_tasks
WHEN OLD.status <> 'completed' AND NEW.status = 'completed'
BEGIN
    UPDATE agents SET tasks_completed = tasks_completed + 1 WHERE id = NEW.claimed_by_agent_id;
    UPDATE hive_posters SET completed = completed + 1 WHERE user_id = NEW.poster_id;
END;

CREATE TRIGGER hive_task_stays BEFORE DELETE ON hive_tasks
BEGIN
    SELECT RAISE(ABORT, 'hive_tasks: a task stays');
END;

-- A claim is made on an open task within its budget, and moves as the seed's table says, or back when what was
-- accepted comes to nothing.
CREATE TRIGGER task_claim_begins_pending BEFORE INSERT ON task_claims
BEGIN
    SELECT RAISE(ABORT, 'task_claims: a claim begins pending') WHERE NEW.status <> 'pending';
    SELECT RAISE(ABORT, 'task_claims: a claim stays') WHERE EXISTS (SELECT 1 FROM task_claims WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'task_claims: the task is not open, or has a smaller budget') WHERE NOT EXISTS (
        SELECT 1 FROM hive_tasks t
        WHERE t.id = NEW.task_id AND t.status = 'open' AND t.budget_credits >= NEW.proposed_credits);
END;

CREATE TRIGGER task_claim_moves_as_it_may BEFORE UPDATE ON task_claims
BEGIN
    SELECT RAISE(ABORT, 'task_claims: this is never changed') WHERE NEW.id <> OLD.id OR NEW.task_id <> OLD.task_id
        OR NEW.agent_id <> OLD.agent_id OR NEW.proposed_credits <> OLD.proposed_credits
        OR NEW.message IS NOT OLD.message OR NEW.created_at <> OLD.created_at
        OR (NEW.is_abandoned <> OLD.is_abandoned AND NOT (OLD.status = 'accepted' AND NEW.status = 'withdrawn'));
    SELECT RAISE(ABORT, 'task_claims: nothing leads from this state to that one') WHERE NEW.status <> OLD.status
        AND NOT (OLD.status = 'pending' AND NEW.status IN ('accepted', 'rejected', 'withdrawn'))
        AND NOT (OLD.status = 'accepted' AND NEW.status IN ('rejected', 'withdrawn'));
    SELECT RAISE(ABORT, 'task_claims: the task is past that') WHERE NEW.status <> OLD.status AND NOT EXISTS (
        SELECT 1 FROM hive_tasks t WHERE t.id = OLD.task_id
        AND (t.status = 'open' OR (OLD.status = 'accepted' AND t.status IN ('claimed', 'in_progress'))));
END;

CREATE TRIGGER task_claim_stays BEFORE DELETE ON task_claims
BEGIN
    SELECT RAISE(ABORT, 'task_claims: a claim stays');
END;

-- A deliverable is by whoever has the task, numbered from 1 for each agent; its content is never changed.
CREATE TRIGGER deliverable_begins_submitted BEFORE INSERT ON deliverables
BEGIN
    SELECT RAISE(ABORT, 'deliverables: a deliverable begins submitted') WHERE NEW.status <> 'submitted';
    SELECT RAISE(ABORT, 'deliverables: a deliverable stays')
    WHERE EXISTS (SELECT 1 FROM deliverables WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'deliverables: this agent has not the task in progress') WHERE NOT EXISTS (
        SELECT 1 FROM hive_tasks t WHERE t.id = NEW.task_id AND t.status = 'in_progress'
        AND t.claimed_by_agent_id = NEW.agent_id AND NEW.revision_number <= t.max_revisions + 1);
    SELECT RAISE(ABORT, 'deliverables: this is not the next number') WHERE NEW.revision_number <> 1 + (
        SELECT count(*) FROM deliverables d WHERE d.task_id = NEW.task_id AND d.agent_id = NEW.agent_id);
END;

CREATE TRIGGER deliverable_moves_as_it_may BEFORE UPDATE ON deliverables
BEGIN
    SELECT RAISE(ABORT, 'deliverables: this is never changed') WHERE NEW.id <> OLD.id OR NEW.task_id <> OLD.task_id
        OR NEW.agent_id <> OLD.agent_id OR NEW.content <> OLD.content OR NEW.submitted_at <> OLD.submitted_at
        OR NEW.revision_number <> OLD.revision_number
        OR (NEW.revision_notes IS NOT OLD.revision_notes AND OLD.status <> 'submitted');
    SELECT RAISE(ABORT, 'deliverables: nothing leads from this state to that one') WHERE NEW.status <> OLD.status
        AND NOT (OLD.status = 'submitted' AND NEW.status IN ('accepted', 'rejected', 'revision_requested'))
        AND NOT (OLD.status = 'rejected' AND NEW.status = 'accepted');
    SELECT RAISE(ABORT, 'deliverables: the task is past that') WHERE NEW.status <> OLD.status AND NOT EXISTS (
        SELECT 1 FROM hive_tasks t WHERE t.id = OLD.task_id AND (t.status = 'disputed'
        OR (t.status = 'delivered' AND OLD.status = 'submitted')));
END;

CREATE TRIGGER deliverable_stays BEFORE DELETE ON deliverables
BEGIN
    SELECT RAISE(ABORT, 'deliverables: a deliverable stays');
END;

-- A dispute is about what is under review, and is resolved once.
CREATE TRIGGER dispute_begins_open BEFORE INSERT ON disputes
BEGIN
    SELECT RAISE(ABORT, 'disputes: a dispute stays') WHERE EXISTS (
        SELECT 1 FROM disputes WHERE task_id = NEW.task_id);
    SELECT RAISE(ABORT, 'disputes: a dispute begins open, about what is delivered')
    WHERE NEW.resolved_at IS NOT NULL OR NOT EXISTS (
        SELECT 1 FROM hive_tasks t JOIN deliverables d ON d.task_id = t.id AND d.agent_id = t.claimed_by_agent_id
        WHERE t.id = NEW.task_id AND t.status = 'delivered' AND d.id = NEW.deliverable_id);
END;

CREATE TRIGGER on_dispute_insert AFTER INSERT ON disputes
BEGIN
    UPDATE hive_posters SET disputed = disputed + 1
    WHERE user_id = (SELECT poster_id FROM hive_tasks WHERE id = NEW.task_id);
END;

CREATE TRIGGER dispute_is_resolved_once BEFORE UPDATE ON disputes
BEGIN
    SELECT RAISE(ABORT, 'disputes: this is never changed') WHERE OLD.resolved_at IS NOT NULL
        OR NEW.task_id <> OLD.task_id OR NEW.deliverable_id <> OLD.deliverable_id OR NEW.kind <> OLD.kind
        OR NEW.reason <> OLD.reason OR NEW.created_at <> OLD.created_at;
END;

CREATE TRIGGER dispute_stays BEFORE DELETE ON disputes
BEGIN
    SELECT RAISE(ABORT, 'disputes: a dispute stays');
END;

-- One review a task (seed 002): by its poster, of who did it, once it is completed.
CREATE TRIGGER on_review_insert_check BEFORE INSERT ON reviews
BEGIN
    SELECT RAISE(ABORT, 'reviews: a review stays') WHERE EXISTS (
        SELECT 1 FROM reviews WHERE id = NEW.id OR task_id = NEW.task_id);
    SELECT RAISE(ABORT, 'reviews: the poster reviews who completed the task') WHERE NOT EXISTS (
        SELECT 1 FROM hive_tasks t WHERE t.id = NEW.task_id AND t.status = 'completed'
        AND t.poster_id = NEW.reviewer_id AND t.claimed_by_agent_id = NEW.agent_id);
END;

CREATE TRIGGER review_is_never_changed BEFORE UPDATE ON reviews
BEGIN
    SELECT RAISE(ABORT, 'reviews: a review stays');
END;

CREATE TRIGGER review_is_never_deleted BEFORE DELETE ON reviews
BEGIN
    SELECT RAISE(ABORT, 'reviews: a review stays');
END;

-- The ledger (seed 002): append-only, a chain for each user; the balance follows its newest row.
CREATE TRIGGER on_credit_transaction_insert_check BEFORE INSERT ON credit_transactions
BEGIN
    SELECT RAISE(ABORT, 'credit_transactions is append-only') WHERE EXISTS (
        SELECT 1 FROM credit_transactions WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'credit_transactions: balance_after is not the one before and amount')
    WHERE NEW.balance_after <> NEW.amount + coalesce((
        SELECT balance_after FROM credit_transactions WHERE user_id = NEW.user_id ORDER BY id DESC LIMIT 1), 0);
    SELECT RAISE(ABORT, 'credit_transactions: the task is not completed')
    WHERE NEW.type IN ('payment', 'platform_fee') AND NOT EXISTS (
        SELECT 1 FROM hive_tasks t WHERE t.id = NEW.task_id AND t.status = 'completed');
END;

CREATE TRIGGER on_credit_transaction_insert AFTER INSERT ON credit_transactions
BEGIN
    SELECT RAISE(ABORT, 'credit_transactions is append-only')
    WHERE NEW.id < 1 OR EXISTS (SELECT 1 FROM credit_transactions WHERE id > NEW.id);
    UPDATE users SET credit_balance = NEW.balance_after WHERE id = NEW.user_id;
END;

CREATE TRIGGER credit_transactions_are_never_updated BEFORE UPDATE ON credit_transactions
BEGIN
    SELECT RAISE(ABORT, 'credit_transactions is append-only');
END;

CREATE TRIGGER credit_transactions_are_never_deleted BEFORE DELETE ON credit_transactions
BEGIN
    SELECT RAISE(ABORT, 'credit_transactions is append-only');
END;

CREATE TRIGGER credit_balance_follows_ledger AFTER UPDATE OF credit_balance ON users
WHEN NEW.credit_balance <> OLD.credit_balance AND NEW.credit_balance <> coalesce((
    SELECT balance_after FROM credit_transactions WHERE user_id = NEW.id ORDER BY id DESC LIMIT 1), 0)
BEGIN
    SELECT RAISE(ABORT, 'users.credit_balance follows credit_transactions');
END;

CREATE TRIGGER credit_balance_begins_at_0 BEFORE INSERT ON users
BEGIN
    SELECT RAISE(ABORT, 'users: a user stays') WHERE EXISTS (
        SELECT 1 FROM users WHERE id = NEW.id OR email = NEW.email);
    SELECT RAISE(ABORT, 'users.credit_balance follows credit_transactions') WHERE NEW.credit_balance <> 0;
END;

CREATE TRIGGER user_stays BEFORE DELETE ON users
BEGIN
    SELECT RAISE(ABORT, 'users: a user stays');
END;
