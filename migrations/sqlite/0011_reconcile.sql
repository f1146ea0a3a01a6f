-- When the latest change of a closed ticket was read in full for the first time, by our clock.
ALTER TABLE ticket ADD COLUMN read_at INTEGER;

-- Where platform, ledger and desk disagree, as the comparison of the three found it. `subject` is the desk's id of the
-- ticket, or the natural key of the order: found again, it is the same finding.
CREATE TABLE finding (
    id            INTEGER PRIMARY KEY,
    edge          TEXT    NOT NULL,
    kind          TEXT    NOT NULL CHECK (kind IN ('orphan', 'double', 'lost', 'closed_there', 'untold')),
    subject       TEXT    NOT NULL,
    number        TEXT    NOT NULL,
    key           TEXT,
    ticket_id     INTEGER,
    assignment_id INTEGER,
    untouched     INTEGER NOT NULL DEFAULT 0,
    state         TEXT    NOT NULL CHECK (state IN ('open', 'repaired', 'over', 'dismissed')),
    found_at      INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL,
    settled_at    INTEGER,
    settled_by    TEXT,
    UNIQUE (edge, kind, subject)
) STRICT;
CREATE INDEX finding_open ON finding (id) WHERE state = 'open';
