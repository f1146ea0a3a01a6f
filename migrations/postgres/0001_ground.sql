-- As in migrations/sqlite, for PostgreSQL. Texts are compared by their bytes, whatever the language of the database.
-- The ground: everything the life of an assignment needs, with room for what later work adds.
-- Instants are UTC milliseconds. Persons and free text live only in the columns and tables marked "erasable".

CREATE TABLE meta (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

-- Every event ever accepted, once. `document` (erasable) is the mapped order: the content of a revision.
CREATE TABLE inbox (
    id            BIGINT PRIMARY KEY,
    source        TEXT COLLATE "C"    NOT NULL,
    event_id      TEXT COLLATE "C"    NOT NULL,
    digest        TEXT COLLATE "C"    NOT NULL,
    received_at   BIGINT NOT NULL,
    answer        TEXT COLLATE "C"    NOT NULL CHECK (answer IN ('new', 'unchanged', 'changed', 'withdrawn', 'unknown_order', 'quarantined')),
    assignment_id BIGINT,
    document      TEXT COLLATE "C",
    UNIQUE (source, event_id)
);

-- Authentic events that no mapping understood; `body` is erasable.
CREATE TABLE quarantine (
    id          BIGINT PRIMARY KEY,
    source      TEXT COLLATE "C"    NOT NULL,
    event_id    TEXT COLLATE "C"    NOT NULL,
    digest      TEXT COLLATE "C"    NOT NULL,
    received_at BIGINT NOT NULL,
    problem     TEXT COLLATE "C"    NOT NULL,
    body        TEXT COLLATE "C",
    state       TEXT COLLATE "C"    NOT NULL CHECK (state IN ('held', 'replayed', 'discarded')),
    settled_at  BIGINT,
    settled_by  TEXT COLLATE "C",
    UNIQUE (source, event_id)
);

-- Withdrawals that arrived before their order.
CREATE TABLE early_withdrawal (
    source      TEXT COLLATE "C"    NOT NULL,
    external_id TEXT COLLATE "C"    NOT NULL,
    operation   TEXT COLLATE "C",
    at          BIGINT NOT NULL,
    PRIMARY KEY (source, external_id)
);

-- Poll cursors, sync marks, cron ticks.
CREATE TABLE cursor (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C"    NOT NULL,
    at    BIGINT NOT NULL
);

-- What a snapshot source has shown; absence in a complete run means withdrawn.
CREATE TABLE listed (
    source      TEXT COLLATE "C"    NOT NULL,
    external_id TEXT COLLATE "C"    NOT NULL,
    run_at      BIGINT NOT NULL,
    PRIMARY KEY (source, external_id)
);

-- Names of persons (erasable), by salted hash.
CREATE TABLE person (
    hash        TEXT COLLATE "C" PRIMARY KEY,
    source      TEXT COLLATE "C"    NOT NULL,
    external_id TEXT COLLATE "C",
    name        TEXT COLLATE "C",
    email       TEXT COLLATE "C",
    seen_at     BIGINT NOT NULL,
    erased_at   BIGINT
);

CREATE TABLE assignment (
    id               BIGINT PRIMARY KEY,
    natural_key      TEXT COLLATE "C"    NOT NULL UNIQUE,
    source           TEXT COLLATE "C"    NOT NULL,
    external_id      TEXT COLLATE "C"    NOT NULL,
    generation       BIGINT NOT NULL,
    operation        TEXT COLLATE "C"    NOT NULL,
    revocation       BIGINT NOT NULL,
    application_id   TEXT COLLATE "C"    NOT NULL,
    application_name TEXT COLLATE "C"    NOT NULL,
    entitlement_id   TEXT COLLATE "C",
    entitlement_name TEXT COLLATE "C",
    beneficiary      TEXT COLLATE "C"    NOT NULL,
    persons          TEXT COLLATE "C"    NOT NULL DEFAULT '{}',
    lane             TEXT COLLATE "C"    NOT NULL,
    lane_at          BIGINT NOT NULL,
    priority         BIGINT NOT NULL,
    requested_at     BIGINT,
    approved_at      BIGINT,
    valid_from       BIGINT,
    valid_until      BIGINT,
    received_at      BIGINT NOT NULL,
    state            TEXT COLLATE "C"    NOT NULL CHECK (state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework',
                                                       'closed', 'reported', 'proven', 'superseded', 'duplicate')),
    outcome          TEXT COLLATE "C",
    parked_at        BIGINT,
    parked_code      TEXT COLLATE "C",
    parked_reason    TEXT COLLATE "C",
    withdrawn_at     BIGINT,
    revision         BIGINT NOT NULL DEFAULT 1,
    content_digest   TEXT COLLATE "C"    NOT NULL,
    document_id      BIGINT NOT NULL,
    due_at           BIGINT,
    plan_at          BIGINT NOT NULL DEFAULT 0,
    eligible_at      BIGINT,
    desk             TEXT COLLATE "C",
    admin_group      TEXT COLLATE "C",
    ticket_id        BIGINT,
    filed_at         BIGINT,
    first_work_at    BIGINT,
    closed_at        BIGINT,
    reported_at      BIGINT,
    closings         BIGINT NOT NULL DEFAULT 0,
    chain_seq        BIGINT NOT NULL,
    chain_head       TEXT COLLATE "C"    NOT NULL
);

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
    assignment_id  BIGINT NOT NULL,
    revision       BIGINT NOT NULL,
    document_id    BIGINT NOT NULL,
    content_digest TEXT COLLATE "C"    NOT NULL,
    seen_at        BIGINT NOT NULL,
    PRIMARY KEY (assignment_id, revision)
);

-- One append-only row per transition; a hash chain per assignment.
CREATE TABLE journal (
    assignment_id    BIGINT NOT NULL,
    seq              BIGINT NOT NULL,
    happened_at      BIGINT NOT NULL,
    whose_clock      TEXT COLLATE "C"    NOT NULL,
    seen_at          BIGINT NOT NULL,
    event            TEXT COLLATE "C"    NOT NULL,
    state            TEXT COLLATE "C"    NOT NULL,
    actor            TEXT COLLATE "C"    NOT NULL,
    cause            TEXT COLLATE "C"    NOT NULL,
    detail           TEXT COLLATE "C"    NOT NULL DEFAULT '{}',
    catalog_version  TEXT COLLATE "C",
    template_version TEXT COLLATE "C",
    calendar_version TEXT COLLATE "C",
    hash             TEXT COLLATE "C"    NOT NULL,
    PRIMARY KEY (assignment_id, seq)
);

-- Ties the chains together, off the hot path.
CREATE TABLE checkpoint (
    id          BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    at          BIGINT NOT NULL,
    assignments BIGINT NOT NULL,
    head        TEXT COLLATE "C"    NOT NULL
);

-- `draft` and `words` are erasable.
CREATE TABLE ticket (
    id               BIGINT PRIMARY KEY,
    key              TEXT COLLATE "C"    NOT NULL,
    cycle            BIGINT NOT NULL DEFAULT 1,
    shape            TEXT COLLATE "C"    NOT NULL DEFAULT 'single' CHECK (shape IN ('single', 'person', 'request', 'parent', 'double')),
    parent_id        BIGINT,
    desk             TEXT COLLATE "C"    NOT NULL,
    admin_group      TEXT COLLATE "C"    NOT NULL,
    route            TEXT COLLATE "C"    NOT NULL,
    state            TEXT COLLATE "C"    NOT NULL CHECK (state IN ('drafted', 'sending', 'unclear', 'open', 'closed', 'gone', 'dropped')),
    ref_id           TEXT COLLATE "C",
    ref_number       TEXT COLLATE "C",
    url              TEXT COLLATE "C",
    draft            TEXT COLLATE "C",
    template         TEXT COLLATE "C"    NOT NULL,
    template_version TEXT COLLATE "C"    NOT NULL,
    catalog_version  TEXT COLLATE "C"    NOT NULL,
    category         TEXT COLLATE "C",
    status           TEXT COLLATE "C",
    resolution       TEXT COLLATE "C",
    outcome          TEXT COLLATE "C",
    desk_group       TEXT COLLATE "C",
    group_hops       BIGINT NOT NULL DEFAULT 0,
    assigned         BIGINT NOT NULL DEFAULT 0,
    key_confirmed    BIGINT NOT NULL DEFAULT 0,
    risky            BIGINT NOT NULL DEFAULT 0,
    planned_at       BIGINT NOT NULL,
    filed_at         BIGINT,
    first_work_at    BIGINT,
    closed_at        BIGINT,
    closed_by        TEXT COLLATE "C",
    words            TEXT COLLATE "C",
    desk_updated_at  BIGINT,
    checked_at       BIGINT NOT NULL DEFAULT 0
);

CREATE UNIQUE INDEX ticket_key ON ticket (key) WHERE shape <> 'double';
CREATE UNIQUE INDEX ticket_ref ON ticket (desk, ref_id) WHERE ref_id IS NOT NULL;
CREATE INDEX ticket_to_check ON ticket (desk, checked_at) WHERE state = 'open';
CREATE INDEX ticket_risky ON ticket (desk, filed_at) WHERE risky = 1;

CREATE TABLE ticket_item (
    ticket_id     BIGINT NOT NULL,
    assignment_id BIGINT NOT NULL,
    revision      BIGINT NOT NULL,
    outcome       TEXT COLLATE "C",
    PRIMARY KEY (ticket_id, assignment_id)
);
CREATE INDEX ticket_item_assignment ON ticket_item (assignment_id);

-- Every call outward. `body` is erasable.
CREATE TABLE errand (
    id            BIGINT PRIMARY KEY,
    kind          TEXT COLLATE "C"    NOT NULL CHECK (kind IN ('create', 'comment', 'amend', 'close', 'report')),
    edge          TEXT COLLATE "C"    NOT NULL,
    ticket_id     BIGINT,
    assignment_id BIGINT,
    state         TEXT COLLATE "C"    NOT NULL CHECK (state IN ('ready', 'sending', 'unclear', 'done', 'parked', 'dropped')),
    rank          BIGINT NOT NULL,
    due_at        BIGINT NOT NULL,
    mark          TEXT COLLATE "C"    NOT NULL,
    body          TEXT COLLATE "C",
    lease_no      BIGINT NOT NULL DEFAULT 0,
    lease_owner   TEXT COLLATE "C",
    lease_until   BIGINT,
    attempts      BIGINT NOT NULL DEFAULT 0,
    failures      BIGINT NOT NULL DEFAULT 0,
    misses        BIGINT NOT NULL DEFAULT 0,
    quiet_until   BIGINT,
    code          TEXT COLLATE "C",
    reason        TEXT COLLATE "C",
    made_at       BIGINT NOT NULL,
    done_at       BIGINT,
    UNIQUE (kind, mark)
);

CREATE INDEX errand_ready ON errand (edge, rank) WHERE state = 'ready';
CREATE INDEX errand_held ON errand (edge, due_at) WHERE state IN ('sending', 'unclear');
CREATE INDEX errand_parked ON errand (state, id) WHERE state = 'parked';
CREATE INDEX errand_ticket ON errand (ticket_id) WHERE ticket_id IS NOT NULL;
CREATE INDEX errand_assignment ON errand (assignment_id) WHERE assignment_id IS NOT NULL;

-- Written before every call, settled after it.
CREATE TABLE attempt (
    errand_id  BIGINT NOT NULL,
    lease_no   BIGINT NOT NULL,
    what       TEXT COLLATE "C"    NOT NULL,
    owner      TEXT COLLATE "C"    NOT NULL,
    started_at BIGINT NOT NULL,
    deadline   BIGINT NOT NULL,
    ended_at   BIGINT,
    verdict    TEXT COLLATE "C",
    code       TEXT COLLATE "C",
    reason     TEXT COLLATE "C",
    PRIMARY KEY (errand_id, lease_no)
);

-- Tickets on a desk that carry a key of ours and should not be there.
CREATE TABLE stray (
    desk       TEXT COLLATE "C"    NOT NULL,
    ref_id     TEXT COLLATE "C"    NOT NULL,
    ref_number TEXT COLLATE "C"    NOT NULL,
    key        TEXT COLLATE "C"    NOT NULL,
    ticket_id  BIGINT,
    kind       TEXT COLLATE "C"    NOT NULL CHECK (kind IN ('double', 'orphan')),
    found_at   BIGINT NOT NULL,
    ours       BIGINT NOT NULL,
    action     TEXT COLLATE "C"    NOT NULL,
    settled_at BIGINT,
    PRIMARY KEY (desk, ref_id)
);
