-- Reports sent by a schedule: one row for each time that one was due. A row is claimed before anything is sent.
CREATE TABLE delivery (
    report      TEXT    NOT NULL,
    due_at      INTEGER NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('begun', 'ready', 'sending', 'sent', 'missed')),
    lease_no    INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER,
    failures    INTEGER NOT NULL DEFAULT 0,
    failed_at   INTEGER,
    next_at     INTEGER NOT NULL,
    code        TEXT,
    reason      TEXT,
    sent_at     INTEGER,
    PRIMARY KEY (report, due_at)
) STRICT, WITHOUT ROWID;

-- Who took figures or evidence out, when, and what: kept for ever, like the journal. `digest` is that of an evidence pack.
CREATE TABLE export_log (
    id     INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    actor  TEXT    NOT NULL,
    what   TEXT    NOT NULL,
    form   TEXT    NOT NULL,
    asked  TEXT    NOT NULL,
    items  INTEGER NOT NULL,
    names  INTEGER NOT NULL,
    digest TEXT
) STRICT;

-- How many people carry out an admin group's tickets: leapt through, group by group and person by person.
CREATE INDEX ticket_closer ON ticket (admin_group, closed_by, closed_at) WHERE closed_by IS NOT NULL;
