-- What is rewritten with each step of an order is less. A partial index is written anew whenever a column of its condition
-- changes: `state` does at each step, `closed_at` when the order ends.
DROP INDEX assignment_lane;
CREATE INDEX assignment_lane ON assignment (lane, lane_at, id) WHERE closed_at IS NULL;

-- A draft is most of a ticket's row, and stays as it is while the row changes. Erasable.
CREATE TABLE ticket_draft (
    id    INTEGER PRIMARY KEY,
    draft TEXT    NOT NULL
) STRICT;
INSERT INTO ticket_draft (id, draft) SELECT id, draft FROM ticket WHERE draft IS NOT NULL ORDER BY id;
ALTER TABLE ticket DROP COLUMN draft;

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
    template_version, calendar_version, hash FROM journal;
DROP TABLE journal;
ALTER TABLE journal_2 RENAME TO journal;
