-- Reports sent by a schedule: one row for each time that one was due. A row is claimed before anything is sent.
CREATE TABLE delivery (
    report      TEXT COLLATE "C"    NOT NULL,
    due_at      BIGINT NOT NULL,
    state       TEXT COLLATE "C"    NOT NULL CHECK (state IN ('begun', 'ready', 'sending', 'sent', 'missed')),
    lease_no    BIGINT NOT NULL DEFAULT 0,
    lease_until BIGINT,
    failures    BIGINT NOT NULL DEFAULT 0,
    failed_at   BIGINT,
    next_at     BIGINT NOT NULL,
    code        TEXT COLLATE "C",
    reason      TEXT COLLATE "C",
    sent_at     BIGINT,
    PRIMARY KEY (report, due_at)
);

-- Who took figures or evidence out, when, and what: kept for ever, like the journal. `digest` is that of an evidence pack.
CREATE TABLE export_log (
    id     BIGINT PRIMARY KEY,
    at     BIGINT NOT NULL,
    actor  TEXT COLLATE "C"    NOT NULL,
    what   TEXT COLLATE "C"    NOT NULL,
    form   TEXT COLLATE "C"    NOT NULL,
    asked  TEXT COLLATE "C"    NOT NULL,
    items  BIGINT NOT NULL,
    names  BIGINT NOT NULL,
    digest TEXT COLLATE "C"
);

-- How many people carry out an admin group's tickets: leapt through, group by group and person by person.
CREATE INDEX ticket_closer ON ticket (admin_group, closed_by, closed_at) WHERE closed_by IS NOT NULL;
