-- The ground: everything the life of an assignment needs, with room for what later work adds.
-- Instants are UTC milliseconds. Persons and free text live only in the columns and tables marked "erasable".

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every event ever accepted, once. `document` (erasable) is the mapped order: the content of a revision.
CREATE TABLE inbox (
    id            INTEGER PRIMARY KEY,
    source        TEXT    NOT NULL,
    event_id      TEXT    NOT NULL,
    digest        TEXT    NOT NULL,
    received_at   INTEGER NOT NULL,
    answer        TEXT    NOT NULL CHECK (answer IN ('new', 'unchanged', 'changed', 'withdrawn', 'unknown_order', 'quarantined')),
    assignment_id INTEGER,
    document      TEXT,
    UNIQUE (source, event_id)
) STRICT;

-- Authentic events that no mapping understood; `body` is erasable.
CREATE TABLE quarantine (
    id          INTEGER PRIMARY KEY,
    source      TEXT    NOT NULL,
    event_id    TEXT    NOT NULL,
    digest      TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    problem     TEXT    NOT NULL,
    body        TEXT,
    state       TEXT    NOT NULL CHECK (state IN ('held', 'replayed', 'discarded')),
    settled_at  INTEGER,
    settled_by  TEXT,
    UNIQUE (source, event_id)
) STRICT;

-- Withdrawals that arrived before their order.
CREATE TABLE early_withdrawal (
    source      TEXT    NOT NULL,
    external_id TEXT    NOT NULL,
    operation   TEXT,
    at          INTEGER NOT NULL,
    PRIMARY KEY (source, external_id)
) STRICT, WITHOUT ROWID;

-- Poll cursors, sync marks, cron ticks.
CREATE TABLE cursor (
    name  TEXT PRIMARY KEY,
    value TEXT    NOT NULL,
    at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a snapshot source has shown; absence in a complete run means withdrawn.
CREATE TABLE listed (
    source      TEXT    NOT NULL,
    external_id TEXT    NOT NULL,
    run_at      INTEGER NOT NULL,
    PRIMARY KEY (source, external_id)
) STRICT, WITHOUT ROWID;

-- Names of persons (erasable), by salted hash.
CREATE TABLE person (
    hash        TEXT PRIMARY KEY,
    source      TEXT    NOT NULL,
    external_id TEXT,
    name        TEXT,
    email       TEXT,
    seen_at     INTEGER NOT NULL,
    erased_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE assignment (
    id               INTEGER PRIMARY KEY,
    natural_key      TEXT    NOT NULL UNIQUE,
    source           TEXT    NOT NULL,
    external_id      TEXT    NOT NULL,
    generation       INTEGER NOT NULL,
    operation        TEXT    NOT NULL,
    revocation       INTEGER NOT NULL,
    application_id   TEXT    NOT NULL,
    application_name TEXT    NOT NULL,
    entitlement_id   TEXT,
    entitlement_name TEXT,
    beneficiary      TEXT    NOT NULL,
    persons          TEXT    NOT NULL DEFAULT '{}',
    lane             TEXT    NOT NULL,
    lane_at          INTEGER NOT NULL,
    priority         INTEGER NOT NULL,
    requested_at     INTEGER,
    approved_at      INTEGER,
    valid_from       INTEGER,
    valid_until      INTEGER,
    received_at      INTEGER NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework',
                                                       'closed', 'reported', 'proven', 'superseded', 'duplicate')),
    outcome          TEXT,
    parked_at        INTEGER,
    parked_code      TEXT,
    parked_reason    TEXT,
    withdrawn_at     INTEGER,
    revision         INTEGER NOT NULL DEFAULT 1,
    content_digest   TEXT    NOT NULL,
    document_id      INTEGER NOT NULL,
    due_at           INTEGER,
    plan_at          INTEGER NOT NULL DEFAULT 0,
    eligible_at      INTEGER,
    desk             TEXT,
    admin_group      TEXT,
    ticket_id        INTEGER,
    filed_at         INTEGER,
    first_work_at    INTEGER,
    closed_at        INTEGER,
    reported_at      INTEGER,
    closings         INTEGER NOT NULL DEFAULT 0,
    chain_seq        INTEGER NOT NULL,
    chain_head       TEXT    NOT NULL
) STRICT;

-- Work to plan: few rows, whatever the number of assignments.
CREATE INDEX assignment_to_plan ON assignment (revocation, plan_at, id)
    WHERE state IN ('received', 'planned') AND parked_at IS NULL;
CREATE INDEX assignment_lane ON assignment (lane, lane_at, id)
    WHERE state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework');
CREATE INDEX assignment_state ON assignment (state, application_id, id);
CREATE INDEX assignment_parked ON assignment (parked_at) WHERE parked_at IS NOT NULL;
CREATE INDEX assignment_closed ON assignment (closed_at) WHERE closed_at IS NOT NULL;

-- Earlier contents of a changed order.
CREATE TABLE revision (
    assignment_id  INTEGER NOT NULL,
    revision       INTEGER NOT NULL,
    document_id    INTEGER NOT NULL,
    content_digest TEXT    NOT NULL,
    seen_at        INTEGER NOT NULL,
    PRIMARY KEY (assignment_id, revision)
) STRICT, WITHOUT ROWID;

-- One append-only row per transition; a hash chain per assignment.
CREATE TABLE journal (
    assignment_id    INTEGER NOT NULL,
    seq              INTEGER NOT NULL,
    happened_at      INTEGER NOT NULL,
    whose_clock      TEXT    NOT NULL,
    seen_at          INTEGER NOT NULL,
    event            TEXT    NOT NULL,
    state            TEXT    NOT NULL,
    actor            TEXT    NOT NULL,
    cause            TEXT    NOT NULL,
    detail           TEXT    NOT NULL DEFAULT '{}',
    catalog_version  TEXT,
    template_version TEXT,
    calendar_version TEXT,
    hash             TEXT    NOT NULL,
    PRIMARY KEY (assignment_id, seq)
) STRICT, WITHOUT ROWID;

-- Ties the chains together, off the hot path.
CREATE TABLE checkpoint (
    id          INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    assignments INTEGER NOT NULL,
    head        TEXT    NOT NULL
) STRICT;

-- `draft` and `words` are erasable.
CREATE TABLE ticket (
    id               INTEGER PRIMARY KEY,
    key              TEXT    NOT NULL,
    cycle            INTEGER NOT NULL DEFAULT 1,
    shape            TEXT    NOT NULL DEFAULT 'single' CHECK (shape IN ('single', 'person', 'request', 'parent', 'double')),
    parent_id        INTEGER,
    desk             TEXT    NOT NULL,
    admin_group      TEXT    NOT NULL,
    route            TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('drafted', 'sending', 'unclear', 'open', 'closed', 'gone', 'dropped')),
    ref_id           TEXT,
    ref_number       TEXT,
    url              TEXT,
    draft            TEXT,
    template         TEXT    NOT NULL,
    template_version TEXT    NOT NULL,
    catalog_version  TEXT    NOT NULL,
    category         TEXT,
    status           TEXT,
    resolution       TEXT,
    outcome          TEXT,
    desk_group       TEXT,
    group_hops       INTEGER NOT NULL DEFAULT 0,
    assigned         INTEGER NOT NULL DEFAULT 0,
    key_confirmed    INTEGER NOT NULL DEFAULT 0,
    risky            INTEGER NOT NULL DEFAULT 0,
    planned_at       INTEGER NOT NULL,
    filed_at         INTEGER,
    first_work_at    INTEGER,
    closed_at        INTEGER,
    closed_by        TEXT,
    words            TEXT,
    desk_updated_at  INTEGER,
    checked_at       INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE UNIQUE INDEX ticket_key ON ticket (key) WHERE shape <> 'double';
CREATE UNIQUE INDEX ticket_ref ON ticket (desk, ref_id) WHERE ref_id IS NOT NULL;
CREATE INDEX ticket_to_check ON ticket (desk, checked_at) WHERE state = 'open';
CREATE INDEX ticket_risky ON ticket (desk, filed_at) WHERE risky = 1;

CREATE TABLE ticket_item (
    ticket_id     INTEGER NOT NULL,
    assignment_id INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    outcome       TEXT,
    PRIMARY KEY (ticket_id, assignment_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX ticket_item_assignment ON ticket_item (assignment_id);

-- Every call outward. `body` is erasable.
CREATE TABLE errand (
    id            INTEGER PRIMARY KEY,
    kind          TEXT    NOT NULL CHECK (kind IN ('create', 'comment', 'amend', 'close', 'report')),
    edge          TEXT    NOT NULL,
    ticket_id     INTEGER,
    assignment_id INTEGER,
    state         TEXT    NOT NULL CHECK (state IN ('ready', 'sending', 'unclear', 'done', 'parked', 'dropped')),
    rank          INTEGER NOT NULL,
    due_at        INTEGER NOT NULL,
    mark          TEXT    NOT NULL,
    body          TEXT,
    lease_no      INTEGER NOT NULL DEFAULT 0,
    lease_owner   TEXT,
    lease_until   INTEGER,
    attempts      INTEGER NOT NULL DEFAULT 0,
    failures      INTEGER NOT NULL DEFAULT 0,
    misses        INTEGER NOT NULL DEFAULT 0,
    quiet_until   INTEGER,
    code          TEXT,
    reason        TEXT,
    made_at       INTEGER NOT NULL,
    done_at       INTEGER,
    UNIQUE (kind, mark)
) STRICT;

CREATE INDEX errand_ready ON errand (edge, rank) WHERE state = 'ready';
CREATE INDEX errand_held ON errand (edge, due_at) WHERE state IN ('sending', 'unclear');
CREATE INDEX errand_parked ON errand (state, id) WHERE state = 'parked';
CREATE INDEX errand_ticket ON errand (ticket_id) WHERE ticket_id IS NOT NULL;
CREATE INDEX errand_assignment ON errand (assignment_id) WHERE assignment_id IS NOT NULL;

-- Written before every call, settled after it.
CREATE TABLE attempt (
    errand_id  INTEGER NOT NULL,
    lease_no   INTEGER NOT NULL,
    what       TEXT    NOT NULL,
    owner      TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    deadline   INTEGER NOT NULL,
    ended_at   INTEGER,
    verdict    TEXT,
    code       TEXT,
    reason     TEXT,
    PRIMARY KEY (errand_id, lease_no)
) STRICT, WITHOUT ROWID;

-- Tickets on a desk that carry a key of ours and should not be there.
CREATE TABLE stray (
    desk       TEXT    NOT NULL,
    ref_id     TEXT    NOT NULL,
    ref_number TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    ticket_id  INTEGER,
    kind       TEXT    NOT NULL CHECK (kind IN ('double', 'orphan')),
    found_at   INTEGER NOT NULL,
    ours       INTEGER NOT NULL,
    action     TEXT    NOT NULL,
    settled_at INTEGER,
    PRIMARY KEY (desk, ref_id)
) STRICT, WITHOUT ROWID;
