-- When the latest change of a closed ticket was read in full for the first time, by our clock.
ALTER TABLE ticket ADD COLUMN read_at BIGINT;

-- Where platform, ledger and desk disagree, as the comparison of the three found it. `subject` is the desk's id of the
-- ticket, or the natural key of the order: found again, it is the same finding.
CREATE TABLE finding (
    id            BIGINT PRIMARY KEY,
    edge          TEXT COLLATE "C" NOT NULL,
    kind          TEXT COLLATE "C" NOT NULL CHECK (kind IN ('orphan', 'double', 'lost', 'closed_there', 'untold')),
    subject       TEXT COLLATE "C" NOT NULL,
    number        TEXT COLLATE "C" NOT NULL,
    key           TEXT COLLATE "C",
    ticket_id     BIGINT,
    assignment_id BIGINT,
    untouched     BIGINT NOT NULL DEFAULT 0,
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'repaired', 'over', 'dismissed')),
    found_at      BIGINT NOT NULL,
    seen_at       BIGINT NOT NULL,
    settled_at    BIGINT,
    settled_by    TEXT COLLATE "C",
    UNIQUE (edge, kind, subject)
);
CREATE INDEX finding_open ON finding (id) WHERE state = 'open';
