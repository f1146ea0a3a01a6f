-- Lines stand in the order they are written, so that those of many orders fill few pages; an order's own are found by
-- their index.
CREATE TABLE journal_2 (
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
    UNIQUE (assignment_id, seq)
) STRICT;
INSERT INTO journal_2 (assignment_id, seq, happened_at, whose_clock, seen_at, event, state, actor, cause, detail, catalog_version,
    template_version, calendar_version, hash)
SELECT assignment_id, seq, happened_at, whose_clock, seen_at, event, state, actor, cause, detail, catalog_version,
    template_version, calendar_version, hash FROM journal ORDER BY assignment_id, seq;
DROP TABLE journal;
ALTER TABLE journal_2 RENAME TO journal;
