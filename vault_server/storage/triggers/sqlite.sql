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

-- The solver has nothing more to do for the assignment: its requests, its deadline and its hand are free.
CREATE TRIGGER on_task_assignment_end AFTER UPDATE OF status ON task_assignments
WHEN OLD.status IN ('offered', 'accepted') AND NEW.status NOT IN ('offered', 'accepted')
BEGIN
    DELETE FROM outbox WHERE standing = 1 AND kind = 'tlp_request' AND subject = CAST(NEW.db_key AS TEXT);
    DELETE FROM outbox WHERE standing = 1 AND kind = 'checkpoint_offered' AND subject = CAST(NEW.db_key AS TEXT);
    DELETE FROM deadlines WHERE name = 'expire_assignment' AND subject = CAST(NEW.db_key AS TEXT);
    UPDATE solvers SET in_hand = in_hand - 1 WHERE solver_id = NEW.solver_id;
END;

-- A task that has ended is no longer one of its client's open tasks, and nobody goes on from its checkpoints.
CREATE TRIGGER on_task_end AFTER UPDATE OF status ON tasks
WHEN OLD.status IN ('waiting', 'assigned') AND NEW.status NOT IN ('waiting', 'assigned')
BEGIN
    UPDATE clients SET open_tasks = open_tasks - 1 WHERE client_id = NEW.client_id;
    DELETE FROM relays WHERE task_id = NEW.fingerprint;
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
    UPDATE participants SET reputation_score = NEW.score_after
    WHERE NEW.standing = 'participant' AND hotkey = NEW.hotkey;
    UPDATE clients SET reputation_score = NEW.score_after WHERE NEW.standing = 'client'
        AND client_id = (SELECT fingerprint FROM participants WHERE hotkey = NEW.hotkey);
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
