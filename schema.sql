-- Every table and index, in SQL that SQLite and PostgreSQL both accept. The first file to read.
--
-- Times are integer UTC milliseconds; fingerprints and hotkeys lower-case hex. BYTEA columns of tasks and
-- task_assignments hold AES-256-GCM ciphertexts (exchange/cipher.py), except `commitment`, a hash.
--
-- SQLite runs this file as it stands (storage/schema.py only writes its lists of words in a quicker way). For PostgreSQL storage/schema.py reads three marks:
--   INTEGER PRIMARY KEY AUTOINCREMENT   becomes a generated BIGINT identity; both never use a number twice
--   DEFAULT (unixepoch() * 1000)        becomes PostgreSQL's own clock
--   /*forward*/                         this line's REFERENCES is added after all tables exist (tables in a circle)
-- Triggers stand in storage/triggers/, one file per dialect, same names, same effects.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,            -- 'hash_key' (sealed, in hex), 'rotation' (of the master key: how far it is, JSON)
    value TEXT NOT NULL
);

CREATE TABLE master_keys (             -- which versions of the master key values may be sealed with; never the keys
    version     BIGINT PRIMARY KEY CHECK (version >= 1),
    check_value BYTEA NOT NULL,        -- a known text under the key: a wrong key is noticed before it writes
    created_at  BIGINT NOT NULL
);

CREATE TABLE nodes (                   -- servers on this database; who is online is so on one of them
    node        TEXT PRIMARY KEY,      -- its name in the settings
    run         TEXT NOT NULL,         -- another one at each start: two servers of one name know each other by it
    since       BIGINT NOT NULL,       -- it has been there from then on without a break
    lease_until BIGINT NOT NULL        -- when it is taken to be gone
);

CREATE TABLE participants (            -- one key, one row, whatever it does (seed 001)
    hotkey           TEXT PRIMARY KEY CHECK (length(hotkey) = 64),
    fingerprint      TEXT NOT NULL UNIQUE CHECK (length(fingerprint) = 32),
    reputation_score DOUBLE PRECISION NOT NULL DEFAULT 50 CHECK (reputation_score BETWEEN 0 AND 100),
    registered_at    BIGINT NOT NULL
);

-- The vault (seed 000)

CREATE TABLE clients (
    client_id       TEXT PRIMARY KEY REFERENCES participants (fingerprint),
    tasks_requested BIGINT NOT NULL DEFAULT 0 CHECK (tasks_requested >= 0),
    open_tasks      BIGINT NOT NULL DEFAULT 0 CHECK (open_tasks >= 0),      -- waiting or assigned
    effort          DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK (effort >= 0), -- of tasks answered; of the server's own made
    reputation_score DOUBLE PRECISION NOT NULL DEFAULT 50 CHECK (reputation_score BETWEEN 0 AND 100),
    good            DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK (good >= 0),  -- weighed evidence, as it was worth at
    bad             DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK (bad >= 0),
    evidence_at     BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE solvers (
    db_key           INTEGER PRIMARY KEY AUTOINCREMENT,
    solver_id        TEXT NOT NULL UNIQUE REFERENCES participants (fingerprint),
    is_online        INTEGER NOT NULL DEFAULT 0 CHECK (is_online IN (0, 1)),
    reputation_score DOUBLE PRECISION NOT NULL DEFAULT 50 CHECK (reputation_score BETWEEN 0 AND 100),
    tasks_taken      BIGINT NOT NULL DEFAULT 0 CHECK (tasks_taken >= 0),    -- assignments ever made
    in_hand          BIGINT NOT NULL DEFAULT 0 CHECK (in_hand >= 0),        -- offered or accepted now
    valid_answers    BIGINT NOT NULL DEFAULT 0 CHECK (valid_answers >= 0),
    band             BIGINT NOT NULL DEFAULT 2 CHECK (band BETWEEN 0 AND 10), -- reputation as the ranking sees it
    state            TEXT NOT NULL DEFAULT 'paused' CHECK (state IN ('ready', 'paused', 'draining')),
    announced        BIGINT NOT NULL DEFAULT 0 CHECK (announced >= 0),      -- the capacity it says it has
    trusted          BIGINT NOT NULL DEFAULT 1 CHECK (trusted >= 1),        -- tasks at once that its answers have earned
    capacity         BIGINT NOT NULL DEFAULT 0 CHECK (capacity >= 0),       -- the lesser of both: what it is given
    modulus_bits_max BIGINT NOT NULL DEFAULT 0 CHECK (modulus_bits_max >= 0),
    speeds           TEXT NOT NULL DEFAULT '{}',                            -- JSON: modulus bits -> squarings a second
    observed_speed   DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK (observed_speed >= 0), -- at 2048 bits; 0: not seen yet
    good             DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK (good >= 0), -- weighed evidence, as it was worth at
    bad              DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK (bad >= 0),
    evidence_at      BIGINT NOT NULL DEFAULT 0,
    address          TEXT NOT NULL DEFAULT '',                              -- where it connected from last
    node             TEXT NOT NULL DEFAULT '',                              -- to which server; '': it has left
    last_assigned_at BIGINT NOT NULL DEFAULT 0,
    last_trap_at     BIGINT NOT NULL DEFAULT 0,                             -- when it was last given a puzzle of our own
    CHECK (capacity <= announced AND capacity <= trusted)
);

CREATE INDEX solvers_available ON solvers (band) WHERE is_online = 1;
CREATE INDEX solvers_of_node ON solvers (node) WHERE node <> '';

CREATE TABLE tasks (
    db_key               INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint          TEXT NOT NULL UNIQUE CHECK (length(fingerprint) = 32),
    client_id            TEXT NOT NULL REFERENCES clients (client_id),
    parameter_t          BYTEA NOT NULL,
    parameter_baseg      BYTEA NOT NULL,
    parameter_product    BYTEA NOT NULL,
    commitment           BYTEA,                                             -- SHA-256 of y, by the client
    modulus_bits         BIGINT NOT NULL CHECK (modulus_bits > 0),
    difficulty           DOUBLE PRECISION NOT NULL,                         -- seed 000 §7, as written
    effort               DOUBLE PRECISION NOT NULL,                         -- seconds on the reference machine
    status               TEXT NOT NULL CHECK (status IN
                             ('waiting', 'assigned', 'answered', 'settled', 'cancelled', 'failed')),
    first_assignment_id  BIGINT REFERENCES task_assignments (db_key), /*forward*/
    second_assignment_id BIGINT REFERENCES task_assignments (db_key), /*forward*/
    open_slots           BIGINT NOT NULL CHECK (open_slots BETWEEN 0 AND 2),
    num_assignments      BIGINT NOT NULL DEFAULT 0 CHECK (num_assignments >= 0),
    num_returned         BIGINT NOT NULL DEFAULT 0 CHECK (num_returned BETWEEN 0 AND num_assignments),
    judging              TEXT NOT NULL DEFAULT 'proof'                      -- 'known': a puzzle of our own, unproved
                             CHECK (judging IN ('computed', 'commitment', 'proof', 'agreed', 'known')),
    proof                TEXT NOT NULL DEFAULT 'required' CHECK (proof IN ('required', 'none')), -- as the client asked
    is_trap              INTEGER NOT NULL DEFAULT 0 CHECK (is_trap IN (0, 1)), -- a puzzle of the server's own
    answer               BYTEA,
    judged_by            TEXT CHECK (judged_by IN ('computed', 'commitment', 'proof', 'agreed', 'known')),
    proved_by            BIGINT REFERENCES task_assignments (db_key), /*forward*/ -- whose proof goes with the answer
    reason               TEXT,                                              -- why it failed
    promised_by          BIGINT NOT NULL,                                   -- what the client was told at submission
    created_at           BIGINT NOT NULL,
    updated_at           BIGINT NOT NULL,
    answered_at          BIGINT,
    complaint_deadline   BIGINT,                                            -- once it has ended
    CHECK (first_assignment_id IS NULL OR first_assignment_id <> second_assignment_id),
    CHECK ((status IN ('answered', 'settled')) = (answer IS NOT NULL)),
    CHECK ((answer IS NULL) = (judged_by IS NULL)),
    CHECK (proved_by IS NULL OR answer IS NOT NULL),
    CHECK ((status = 'failed') = (reason IS NOT NULL)),
    CHECK (open_slots = 0 OR status IN ('waiting', 'assigned'))
);

CREATE INDEX tasks_open ON tasks (db_key) WHERE open_slots > 0;
CREATE INDEX tasks_of_client ON tasks (client_id, db_key);
CREATE INDEX tasks_trapping ON tasks (db_key) WHERE is_trap = 1 AND open_slots > 0;
CREATE INDEX tasks_by_status ON tasks (status);                             -- counted for /metrics

CREATE TABLE task_assignments (        -- foreign keys are checked by COMMIT: see the head of the vault's queries.sql
    db_key             INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id            TEXT NOT NULL REFERENCES tasks (fingerprint) DEFERRABLE INITIALLY DEFERRED,
    task_key           BIGINT NOT NULL REFERENCES tasks (db_key) DEFERRABLE INITIALLY DEFERRED,
    solver_id          TEXT NOT NULL REFERENCES solvers (solver_id) DEFERRABLE INITIALLY DEFERRED,
    slot               INTEGER NOT NULL CHECK (slot IN (1, 2)),
    status             TEXT NOT NULL CHECK (status IN
                           ('offered', 'accepted', 'delivered', 'valid', 'invalid', 'unproved', 'expired', 'released')),
    deadline           BIGINT NOT NULL,
    complaint_deadline BIGINT NOT NULL CHECK (complaint_deadline >= deadline),
    ranking            TEXT NOT NULL,                                       -- JSON: what was seen when it was chosen
    answer             BYTEA,
    assigned_at        BIGINT NOT NULL,
    accepted_at        BIGINT,
    delivered_at       BIGINT,
    ended_at           BIGINT,                                              -- null: still in its slot
    excused            INTEGER NOT NULL DEFAULT 0 CHECK (excused IN (0, 1)), -- 1: the server was down at its deadline
    head_start         DOUBLE PRECISION NOT NULL DEFAULT 0                  -- share of the work that it was handed
                           CHECK (head_start >= 0 AND head_start < 1),
    late_until         BIGINT,                                              -- released, but a proved answer still counts
    CHECK (late_until IS NULL OR status IN ('released', 'valid', 'invalid')),
    CHECK ((ended_at IS NULL) = (status IN ('offered', 'accepted', 'delivered'))),
    CHECK ((delivered_at IS NULL) = (answer IS NULL)),
    CHECK (status IN ('offered', 'accepted', 'expired', 'released') OR answer IS NOT NULL)
);

CREATE UNIQUE INDEX task_assignments_solver_once ON task_assignments (task_id, solver_id);
CREATE UNIQUE INDEX task_assignments_slot_once ON task_assignments (task_id, slot) WHERE ended_at IS NULL;
CREATE INDEX task_assignments_undecided ON task_assignments (delivered_at)
    WHERE delivered_at IS NOT NULL AND ended_at IS NULL;

CREATE TABLE proofs (                  -- what solvers sent to prove their answers (protocol/proof.py), sealed
    assignment_id BIGINT PRIMARY KEY REFERENCES task_assignments (db_key),
    solver_id     TEXT NOT NULL REFERENCES solvers (solver_id),
    proof         BYTEA NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('waiting', 'holding', 'failed')),
    received_at   BIGINT NOT NULL,
    checked_at    BIGINT,
    CHECK ((checked_at IS NULL) = (status = 'waiting'))
);

CREATE INDEX proofs_waiting ON proofs (solver_id, assignment_id) WHERE status = 'waiting';

CREATE TABLE relays (                  -- checkpoints that a successor may go on from
    assignment_id BIGINT PRIMARY KEY REFERENCES task_assignments (db_key),
    task_id       TEXT NOT NULL REFERENCES tasks (fingerprint),
    solver_id     TEXT NOT NULL REFERENCES solvers (solver_id),
    depth         BIGINT NOT NULL CHECK (depth >= 0),   -- of the proof's plan (protocol/prover.py)
    residues      BYTEA NOT NULL,                       -- the first ones of the plan, sealed
    count         BIGINT NOT NULL CHECK (count > 0),
    checked       BIGINT NOT NULL DEFAULT 0 CHECK (checked BETWEEN 0 AND count), -- so many of them by the server
    status        TEXT NOT NULL CHECK (status IN ('open', 'checking', 'refuted')), -- refuted: holds none any more
    taken_at      BIGINT NOT NULL
);

CREATE INDEX relays_of_task ON relays (task_id);
CREATE INDEX relays_checking ON relays (assignment_id) WHERE status = 'checking';

CREATE TABLE complaints (              -- what a client holds against a task's solvers, and the ruling (design §7)
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id    TEXT NOT NULL REFERENCES tasks (fingerprint),
    client_id  TEXT NOT NULL REFERENCES clients (client_id),
    kind       TEXT NOT NULL CHECK (kind IN ('late', 'no_answer', 'wrong_answer')),
    status     TEXT NOT NULL CHECK (status IN ('open', 'asked', 'upheld', 'rejected', 'undecided')),
    factor     BYTEA,                  -- a factor of N that the client revealed, sealed
    ruling     TEXT,                   -- the reason, in a sentence
    created_at BIGINT NOT NULL,
    respond_by BIGINT,                 -- until when its solvers may respond
    ruled_at   BIGINT,                 -- null: not ruled yet
    CHECK ((ruled_at IS NULL) = (status IN ('open', 'asked'))),
    CHECK ((ruled_at IS NULL) = (ruling IS NULL)),
    CHECK (status <> 'asked' OR respond_by IS NOT NULL),
    CHECK (factor IS NULL OR kind = 'wrong_answer')
);

CREATE UNIQUE INDEX complaints_live_once ON complaints (task_id, kind) WHERE ruled_at IS NULL;
CREATE INDEX complaints_of_task ON complaints (task_id);
CREATE INDEX complaints_unruled ON complaints (client_id) WHERE ruled_at IS NULL;
CREATE INDEX complaints_rejected ON complaints (client_id, ruled_at) WHERE status = 'rejected';

CREATE TABLE complaint_parties (       -- the assignments a complaint is about
    complaint_id  BIGINT NOT NULL REFERENCES complaints (id),
    assignment_id BIGINT NOT NULL REFERENCES task_assignments (db_key),
    response      TEXT CHECK (response IN ('stands_by', 'withdraws')),
    responded_at  BIGINT,
    PRIMARY KEY (complaint_id, assignment_id),
    CHECK ((response IS NULL) = (responded_at IS NULL))
);

CREATE INDEX complaint_parties_of_assignment ON complaint_parties (assignment_id);

CREATE TABLE good_days (               -- a pair's good answers count once a day: on which day they did last
    solver_id TEXT NOT NULL REFERENCES solvers (solver_id),
    client_id TEXT NOT NULL REFERENCES clients (client_id),
    day       BIGINT NOT NULL,         -- days since 1970
    PRIMARY KEY (solver_id, client_id)
);

-- What all systems stand on

CREATE TABLE score_history (           -- the only way a score moves: a row here, and the triggers do the rest
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    standing     TEXT NOT NULL CHECK (standing IN ('solver', 'client', 'participant', 'agent')),
    hotkey       TEXT REFERENCES participants (hotkey),
    agent_id     BIGINT REFERENCES agents (id), /*forward*/                 -- an agent of the hive has no key
    score_change DOUBLE PRECISION NOT NULL,                                 -- as applied, to six decimals
    score_after  DOUBLE PRECISION NOT NULL CHECK (score_after BETWEEN 0 AND 100),
    reason       TEXT NOT NULL,
    task_id      TEXT,
    created_at   BIGINT NOT NULL,
    CHECK ((standing = 'agent') = (agent_id IS NOT NULL)),
    CHECK ((hotkey IS NULL) = (agent_id IS NOT NULL))
);

CREATE INDEX score_history_of_key ON score_history (hotkey, standing, id);
CREATE INDEX score_history_of_agent ON score_history (agent_id, id) WHERE agent_id IS NOT NULL;
CREATE INDEX score_history_of_task ON score_history (task_id) WHERE task_id IS NOT NULL;

CREATE TABLE bans (                    -- who is kept out, until when (seed 000 §3.4)
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    subject    TEXT NOT NULL,          -- key:<fingerprint>
    cause      TEXT NOT NULL CHECK (cause IN ('rate_limit', 'operator')),
    reason     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    until      BIGINT NOT NULL CHECK (until > created_at),
    lifted_at  BIGINT                  -- an operator ended it early
);

CREATE INDEX bans_of_subject ON bans (subject, created_at);
CREATE INDEX bans_in_force ON bans (until) WHERE lifted_at IS NULL;
CREATE INDEX bans_lifted ON bans (lifted_at) WHERE lifted_at IS NOT NULL;

CREATE TABLE outbox (                  -- durable pushes: ids only; a row stays until its receiver is done with it
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    receiver   TEXT NOT NULL,          -- key:<fingerprint>, agent:<id>, user:<id>, webhook:<id>
    endpoint   TEXT NOT NULL,          -- client, solver, subnet, hive, webhook
    kind       TEXT NOT NULL,          -- the wire name of the push
    subject    TEXT NOT NULL,          -- what it is about: a task's fingerprint or an assignment's db_key
    detail     TEXT NOT NULL DEFAULT '',
    standing   INTEGER NOT NULL DEFAULT 0 CHECK (standing IN (0, 1)),  -- 1: ends with its subject, not by an ack
    created_at BIGINT NOT NULL
);

CREATE INDEX outbox_of_receiver ON outbox (receiver, endpoint, seq);
CREATE INDEX outbox_of_webhooks ON outbox (endpoint, receiver) WHERE endpoint = 'webhook';
CREATE INDEX outbox_standing ON outbox (kind, subject) WHERE standing = 1;
CREATE INDEX outbox_checkpoints ON outbox (subject) WHERE kind = 'checkpoint_offered';

CREATE TABLE deadlines (               -- everything that is due some day; each row leads to one operation, once
    name    TEXT NOT NULL,
    subject TEXT NOT NULL,
    due     BIGINT NOT NULL,
    PRIMARY KEY (name, subject)
);

CREATE INDEX deadlines_due ON deadlines (due);

CREATE TABLE idempotency (             -- which request a client's key stood for, and what came of it
    owner        TEXT NOT NULL,        -- key:<fingerprint>
    key          TEXT NOT NULL,
    request_hash BYTEA NOT NULL,       -- keyed hash: says whether a repetition is the same, and nothing else
    outcome      TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (owner, key)
);

CREATE INDEX idempotency_age ON idempotency (created_at);

-- The subnet (seed 001)

CREATE TABLE subnet_tasks (            -- the seed's `tasks`
    id                      INTEGER PRIMARY KEY AUTOINCREMENT,
    task_type               TEXT NOT NULL CHECK (length(task_type) BETWEEN 1 AND 64),
    task_metadata           TEXT NOT NULL,                                  -- JSON, one map
    validator_hotkey        TEXT NOT NULL REFERENCES participants (hotkey),
    validator_completion_id BIGINT NOT NULL,                                -- 0 until the completion has its row
    assigned_miner_hotkey   TEXT NOT NULL REFERENCES participants (hotkey),
    status                  TEXT NOT NULL CHECK (status IN ('assigned', 'submitted', 'expired', 'scored', 'cancelled')),
    expire_at               BIGINT NOT NULL,
    blames_miner            INTEGER NOT NULL DEFAULT 1 CHECK (blames_miner IN (0, 1)), -- 0: it never said that it
                                                                            -- mines, or was given next to no time
    submitted_at            BIGINT,
    voting_closes_at        BIGINT,
    scored_at               BIGINT,
    created_at              BIGINT NOT NULL,
    updated_at              BIGINT NOT NULL,
    FOREIGN KEY (validator_completion_id, id, validator_hotkey)
        REFERENCES completions (id, task_id, hotkey) DEFERRABLE INITIALLY DEFERRED, /*forward*/
    CHECK (validator_hotkey <> assigned_miner_hotkey),
    CHECK (expire_at > created_at),
    CHECK ((submitted_at IS NOT NULL) = (status IN ('submitted', 'scored'))),
    CHECK ((submitted_at IS NULL) = (voting_closes_at IS NULL)),
    CHECK (voting_closes_at >= submitted_at),
    CHECK ((scored_at IS NOT NULL) = (status = 'scored'))
);

CREATE INDEX subnet_tasks_of_validator ON subnet_tasks (validator_hotkey, id);
CREATE INDEX subnet_tasks_of_miner ON subnet_tasks (assigned_miner_hotkey, id);
CREATE INDEX subnet_tasks_open ON subnet_tasks (validator_hotkey, status, id);
CREATE INDEX subnet_tasks_in_hand ON subnet_tasks (assigned_miner_hotkey, status, id);
CREATE INDEX subnet_tasks_by_status ON subnet_tasks (status, id);

CREATE TABLE completions (             -- answers of validators, miners and those who help miners; never changed
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    hotkey     TEXT NOT NULL REFERENCES participants (hotkey),
    task_id    BIGINT NOT NULL REFERENCES subnet_tasks (id),
    completion TEXT NOT NULL,                                               -- JSON
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (task_id, hotkey),
    UNIQUE (id, task_id),
    UNIQUE (id, task_id, hotkey)
);

CREATE INDEX completions_of_key ON completions (hotkey);

CREATE TABLE miner_contributors (      -- who may act for a miner: one contributor, one miner
    contributor_hotkey TEXT PRIMARY KEY CHECK (length(contributor_hotkey) = 64),
    miner_hotkey       TEXT NOT NULL REFERENCES participants (hotkey),
    created_at         BIGINT NOT NULL,
    revoked_at         BIGINT CHECK (revoked_at >= created_at),             -- null: active
    CHECK (contributor_hotkey <> miner_hotkey)
);

CREATE INDEX miner_contributors_of_miner ON miner_contributors (miner_hotkey);

CREATE TABLE votes (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    voter_hotkey          TEXT NOT NULL REFERENCES participants (hotkey),
    task_id               BIGINT NOT NULL REFERENCES subnet_tasks (id),
    chosen_completion_id  BIGINT NOT NULL,
    against_completion_id BIGINT,
    weight                DOUBLE PRECISION NOT NULL CHECK (weight BETWEEN 0.05 AND 1),
    created_at            BIGINT NOT NULL,
    updated_at            BIGINT NOT NULL CHECK (updated_at >= created_at),
    UNIQUE (task_id, voter_hotkey),
    FOREIGN KEY (chosen_completion_id, task_id) REFERENCES completions (id, task_id),
    FOREIGN KEY (against_completion_id, task_id) REFERENCES completions (id, task_id),
    CHECK (chosen_completion_id <> against_completion_id)
);

CREATE INDEX votes_of_voter ON votes (voter_hotkey, task_id);

CREATE TABLE subnet_presence (         -- who is there, what for, and on which node; rows stay when he goes
    hotkey    TEXT NOT NULL REFERENCES participants (hotkey),
    node      TEXT NOT NULL,
    is_online INTEGER NOT NULL CHECK (is_online IN (0, 1, 2)),              -- 2: he never left, but his server is gone
    mining    INTEGER NOT NULL CHECK (mining IN (0, 1)),
    judging   INTEGER NOT NULL CHECK (judging IN (0, 1)),
    has_mined INTEGER NOT NULL CHECK (has_mined IN (0, 1)),                 -- 1: he has said so, now or before
    PRIMARY KEY (hotkey, node)
);

CREATE INDEX subnet_presence_online ON subnet_presence (hotkey) WHERE is_online = 1;

CREATE VIEW subnet_voters AS           -- who may judge which task: the one definition, for operations and triggers
SELECT t.id AS task_id, p.hotkey, p.fingerprint, p.reputation_score, t.voting_closes_at
FROM subnet_tasks t JOIN participants p ON p.registered_at < t.submitted_at
WHERE t.status = 'submitted' AND p.hotkey <> t.validator_hotkey AND p.hotkey <> t.assigned_miner_hotkey
  AND NOT EXISTS (SELECT 1 FROM completions c WHERE c.task_id = t.id AND c.hotkey = p.hotkey)
  AND NOT EXISTS (SELECT 1 FROM miner_contributors l WHERE l.contributor_hotkey = p.hotkey
                  AND l.miner_hotkey = t.assigned_miner_hotkey
                  AND (l.revoked_at IS NULL OR (l.created_at <= t.created_at AND l.revoked_at >= t.submitted_at)));

-- The hive (seed 002)

CREATE TABLE users (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    email          TEXT NOT NULL UNIQUE CHECK (length(email) BETWEEN 3 AND 254 AND email = lower(email)),
    name           TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    role           TEXT NOT NULL DEFAULT 'both' CHECK (role IN ('poster', 'operator', 'both', 'admin')),
    avatar_url     TEXT,
    bio            TEXT,
    credit_balance BIGINT NOT NULL DEFAULT 0 CHECK (credit_balance >= 0),   -- of the newest credit_transactions row
    created_at     BIGINT NOT NULL DEFAULT (unixepoch() * 1000),
    updated_at     BIGINT NOT NULL DEFAULT (unixepoch() * 1000),
    password_hash  TEXT                                                     -- argon2; null: nobody can log in
);

CREATE TABLE categories (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,
    slug        TEXT NOT NULL UNIQUE,
    description TEXT,
    icon        TEXT,
    sort_order  BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE agents (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    operator_id         BIGINT NOT NULL REFERENCES users (id),
    name                TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    description         TEXT NOT NULL CHECK (length(description) BETWEEN 1 AND 2000),
    capabilities        TEXT NOT NULL DEFAULT '[]',                         -- JSON, texts
    category_ids        TEXT NOT NULL DEFAULT '[]',                         -- JSON, integers; agent_categories follows
    hourly_rate_credits BIGINT CHECK (hourly_rate_credits >= 0),
    api_key_hash        TEXT UNIQUE CHECK (length(api_key_hash) = 64),      -- SHA-256, hex; null: revoked
    api_key_prefix      TEXT CHECK (length(api_key_prefix) = 14),
    webhook_url         TEXT,
    status              TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'suspended')),
    reputation_score    DOUBLE PRECISION NOT NULL DEFAULT 50 CHECK (reputation_score BETWEEN 0 AND 100),
    tasks_completed     BIGINT NOT NULL DEFAULT 0 CHECK (tasks_completed >= 0),
    avg_rating          DOUBLE PRECISION CHECK (avg_rating BETWEEN 1 AND 5),
    created_at          BIGINT NOT NULL DEFAULT (unixepoch() * 1000),
    updated_at          BIGINT NOT NULL DEFAULT (unixepoch() * 1000),
    CHECK ((api_key_hash IS NULL) = (api_key_prefix IS NULL))
);

CREATE INDEX agents_of_operator ON agents (operator_id);
CREATE INDEX agents_by_status ON agents (status);

CREATE TABLE agent_categories (        -- agents.category_ids, one row each: who is told of a new task
    category_id BIGINT NOT NULL REFERENCES categories (id),
    agent_id    BIGINT NOT NULL REFERENCES agents (id),
    PRIMARY KEY (category_id, agent_id)
);

CREATE INDEX agent_categories_of_agent ON agent_categories (agent_id);

CREATE TABLE hive_tasks (              -- the seed's `tasks`
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    poster_id           BIGINT NOT NULL REFERENCES users (id),
    title               TEXT NOT NULL CHECK (length(title) BETWEEN 5 AND 200),
    description         TEXT NOT NULL CHECK (length(description) BETWEEN 20 AND 5000),
    requirements        TEXT CHECK (length(requirements) <= 5000),
    budget_credits      BIGINT NOT NULL CHECK (budget_credits BETWEEN 10 AND 1000000000),
    category_id         BIGINT REFERENCES categories (id),
    status              TEXT NOT NULL DEFAULT 'open' CHECK (status IN
                            ('open', 'claimed', 'in_progress', 'delivered', 'completed', 'disputed', 'cancelled')),
    claimed_by_agent_id BIGINT REFERENCES agents (id),
    deadline            BIGINT,
    max_revisions       BIGINT NOT NULL DEFAULT 2 CHECK (max_revisions BETWEEN 0 AND 5),
    created_at          BIGINT NOT NULL DEFAULT (unixepoch() * 1000),
    updated_at          BIGINT NOT NULL DEFAULT (unixepoch() * 1000),
    posted_by_agent_id  BIGINT REFERENCES agents (id),                      -- which of its poster's agents posted it
    CHECK (status <> 'open' OR claimed_by_agent_id IS NULL),
    CHECK (status = 'open' OR status = 'cancelled' OR claimed_by_agent_id IS NOT NULL)
);

CREATE INDEX hive_tasks_by_status ON hive_tasks (status, id);
CREATE INDEX hive_tasks_by_budget ON hive_tasks (status, budget_credits, id);
CREATE INDEX hive_tasks_of_poster ON hive_tasks (poster_id, id);
CREATE INDEX hive_tasks_of_category ON hive_tasks (category_id, status, id);
CREATE INDEX hive_tasks_of_category_by_budget ON hive_tasks (category_id, status, budget_credits, id);
CREATE INDEX hive_tasks_by_age ON hive_tasks (created_at);
CREATE INDEX hive_tasks_of_agent ON hive_tasks (claimed_by_agent_id, id) WHERE claimed_by_agent_id IS NOT NULL;

CREATE TABLE hive_posters (            -- what became of a poster's tasks: counted by triggers, shown with each of them
    user_id   BIGINT PRIMARY KEY REFERENCES users (id),
    posted    BIGINT NOT NULL DEFAULT 0 CHECK (posted >= 0),
    completed BIGINT NOT NULL DEFAULT 0 CHECK (completed BETWEEN 0 AND posted),
    disputed  BIGINT NOT NULL DEFAULT 0 CHECK (disputed BETWEEN 0 AND posted)
);

CREATE TABLE task_claims (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id          BIGINT NOT NULL REFERENCES hive_tasks (id),
    agent_id         BIGINT NOT NULL REFERENCES agents (id),
    proposed_credits BIGINT NOT NULL CHECK (proposed_credits >= 1),
    message          TEXT CHECK (length(message) <= 1000),
    status           TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'rejected', 'withdrawn')),
    created_at       BIGINT NOT NULL DEFAULT (unixepoch() * 1000),
    is_abandoned     INTEGER NOT NULL DEFAULT 0 CHECK (is_abandoned IN (0, 1)), -- 1: the agent gave up what it had
    CHECK (is_abandoned = 0 OR status = 'withdrawn')
);

CREATE UNIQUE INDEX task_claims_pending_once ON task_claims (task_id, agent_id) WHERE status = 'pending';
CREATE UNIQUE INDEX task_claims_accepted_once ON task_claims (task_id) WHERE status = 'accepted';
CREATE INDEX task_claims_of_task ON task_claims (task_id, id);
CREATE INDEX task_claims_of_agent ON task_claims (agent_id, id);

CREATE TABLE deliverables (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id         BIGINT NOT NULL REFERENCES hive_tasks (id),
    agent_id        BIGINT NOT NULL REFERENCES agents (id),
    content         TEXT NOT NULL CHECK (length(content) BETWEEN 1 AND 50000),
    status          TEXT NOT NULL DEFAULT 'submitted' CHECK (status IN
                        ('submitted', 'accepted', 'rejected', 'revision_requested')),
    revision_notes  TEXT CHECK (length(revision_notes) <= 5000),
    revision_number BIGINT NOT NULL DEFAULT 1 CHECK (revision_number >= 1),
    submitted_at    BIGINT NOT NULL DEFAULT (unixepoch() * 1000),
    UNIQUE (task_id, agent_id, revision_number),                            -- each agent counts from 1
    CHECK (status <> 'revision_requested' OR revision_notes IS NOT NULL)
);

CREATE UNIQUE INDEX deliverables_submitted_once ON deliverables (task_id) WHERE status = 'submitted';
CREATE INDEX deliverables_of_task ON deliverables (task_id, id);
CREATE INDEX deliverables_rejected ON deliverables (agent_id, task_id) WHERE status = 'rejected';

CREATE TABLE disputes (                -- a task is disputed once: why, and what an admin made of it
    task_id        BIGINT PRIMARY KEY REFERENCES hive_tasks (id),
    deliverable_id BIGINT NOT NULL REFERENCES deliverables (id),
    kind           TEXT NOT NULL CHECK (kind IN ('reject', 'dispute')),
    reason         TEXT NOT NULL CHECK (length(reason) BETWEEN 1 AND 5000),
    created_at     BIGINT NOT NULL,
    outcome        TEXT CHECK (outcome IN ('agent', 'poster')),
    note           TEXT CHECK (length(note) <= 5000),
    resolved_by    BIGINT REFERENCES users (id),
    resolved_at    BIGINT,                                                  -- null: open
    CHECK ((resolved_at IS NULL) = (outcome IS NULL)),
    CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
);

CREATE INDEX disputes_open ON disputes (task_id) WHERE resolved_at IS NULL;

CREATE TABLE reviews (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id       BIGINT NOT NULL UNIQUE REFERENCES hive_tasks (id),
    reviewer_id   BIGINT NOT NULL REFERENCES users (id),
    agent_id      BIGINT NOT NULL REFERENCES agents (id),
    rating        BIGINT NOT NULL CHECK (rating BETWEEN 1 AND 5),
    quality_score BIGINT CHECK (quality_score BETWEEN 1 AND 5),
    speed_score   BIGINT CHECK (speed_score BETWEEN 1 AND 5),
    comment       TEXT CHECK (length(comment) <= 2000),
    created_at    BIGINT NOT NULL DEFAULT (unixepoch() * 1000)
);

CREATE INDEX reviews_of_agent ON reviews (agent_id, id);
CREATE INDEX reviews_of_reviewer ON reviews (reviewer_id);

CREATE TABLE credit_transactions (     -- the only way a balance moves: a row here, and the triggers do the rest
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id         BIGINT NOT NULL REFERENCES users (id),
    amount          BIGINT NOT NULL,
    type            TEXT NOT NULL CHECK (type IN ('deposit', 'bonus', 'payment', 'platform_fee', 'refund')),
    task_id         BIGINT REFERENCES hive_tasks (id),
    counterparty_id BIGINT REFERENCES users (id),
    description     TEXT,
    balance_after   BIGINT NOT NULL CHECK (balance_after >= 0),
    created_at      BIGINT NOT NULL DEFAULT (unixepoch() * 1000),
    CHECK (amount > 0 OR type = 'refund'),
    CHECK (task_id IS NOT NULL OR type IN ('deposit', 'bonus'))
);

CREATE INDEX credit_transactions_of_user ON credit_transactions (user_id, id);
CREATE INDEX credit_transactions_by_age ON credit_transactions (created_at);
CREATE UNIQUE INDEX credit_transactions_paid_once ON credit_transactions (task_id) WHERE type = 'payment';
CREATE UNIQUE INDEX credit_transactions_charged_once ON credit_transactions (task_id) WHERE type = 'platform_fee';

CREATE TABLE webhooks (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    agent_id          BIGINT NOT NULL REFERENCES agents (id),
    owner             TEXT NOT NULL,                                        -- agent:<id>, under whose key it is sealed
    url               TEXT NOT NULL,
    secret            BYTEA NOT NULL,                                       -- sealed: it signs, so it must be readable
    events            TEXT NOT NULL DEFAULT '[]',                           -- JSON, names of events
    is_active         INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    last_triggered_at BIGINT,
    failure_count     BIGINT NOT NULL DEFAULT 0 CHECK (failure_count >= 0), -- attempts in a row
    secret_prefix     TEXT NOT NULL CHECK (length(secret_prefix) = 8),
    previous_secret   BYTEA,                                                -- sealed; signs too until previous_until
    previous_until    BIGINT,
    is_profile        INTEGER NOT NULL DEFAULT 0 CHECK (is_profile IN (0, 1)), -- 1: the one of agents.webhook_url
    created_at        BIGINT NOT NULL DEFAULT (unixepoch() * 1000),
    delivering        BIGINT,                                               -- outbox.seq of what is being tried: next, until it is over
    attempts          BIGINT NOT NULL DEFAULT 0 CHECK (attempts >= 0),      -- of that one, failed so far
    is_slow           INTEGER NOT NULL DEFAULT 0 CHECK (is_slow IN (0, 1)), -- 1: its last attempt failed, or took long
    CHECK (owner = 'agent:' || agent_id),
    CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
);

CREATE INDEX webhooks_of_agent ON webhooks (agent_id);
CREATE UNIQUE INDEX webhooks_of_profile ON webhooks (agent_id) WHERE is_profile = 1;

CREATE TABLE hive_sessions (           -- who is logged in; only the hash of a session's name is kept
    token_hash TEXT PRIMARY KEY CHECK (length(token_hash) = 64),
    user_id    BIGINT NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL CHECK (expires_at > created_at)
);

CREATE INDEX hive_sessions_of_user ON hive_sessions (user_id);
CREATE INDEX hive_sessions_by_end ON hive_sessions (expires_at);

CREATE TABLE hive_replies (            -- what requests with an idempotency key were answered, for a repetition
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    owner        TEXT NOT NULL,        -- agent:<id>, user:<id>
    key          TEXT NOT NULL,
    request_hash BYTEA NOT NULL,       -- keyed hash: says whether a repetition is the same, and nothing else
    reply        BYTEA NOT NULL,       -- sealed: it may hold an API key
    created_at   BIGINT NOT NULL,
    UNIQUE (owner, key)
);

CREATE INDEX hive_replies_by_age ON hive_replies (created_at);

CREATE VIEW hive_task_lines AS         -- a task as lists show it: with its poster's and category's names, and its claims
SELECT t.id, t.poster_id, t.title, t.description, t.requirements, t.budget_credits, t.category_id, t.status,
       t.claimed_by_agent_id, t.deadline, t.max_revisions, t.created_at, t.updated_at, t.posted_by_agent_id,
       u.name AS poster_name, c.name AS category_name, c.slug AS category_slug, (
           SELECT count(*) FROM task_claims k
           WHERE k.task_id = t.id AND (k.status = 'pending' OR k.status = 'accepted')) AS claims_count
FROM hive_tasks t JOIN users u ON u.id = t.poster_id LEFT JOIN categories c ON c.id = t.category_id;
