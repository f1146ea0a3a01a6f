-- A draft is most of a ticket's row, and stays as it is while the row changes. Erasable.
CREATE TABLE ticket_draft (
    id    INTEGER PRIMARY KEY,
    draft TEXT    NOT NULL
) STRICT;
INSERT INTO ticket_draft (id, draft) SELECT id, draft FROM ticket WHERE draft IS NOT NULL ORDER BY id;

-- The table is made anew: a column that is dropped would leave each page as empty as its drafts were long. `words` and
-- `evidence` are erasable.
CREATE TABLE ticket_2 (
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
    checked_at       INTEGER NOT NULL DEFAULT 0,
    read_at          INTEGER,
    evidence         TEXT
) STRICT;
INSERT INTO ticket_2 (id, key, cycle, shape, parent_id, desk, admin_group, route, state, ref_id, ref_number, url, template,
    template_version, catalog_version, category, status, resolution, outcome, desk_group, group_hops, assigned, key_confirmed, risky,
    planned_at, filed_at, first_work_at, closed_at, closed_by, words, desk_updated_at, checked_at, read_at, evidence)
SELECT id, key, cycle, shape, parent_id, desk, admin_group, route, state, ref_id, ref_number, url, template,
    template_version, catalog_version, category, status, resolution, outcome, desk_group, group_hops, assigned, key_confirmed, risky,
    planned_at, filed_at, first_work_at, closed_at, closed_by, words, desk_updated_at, checked_at, read_at, evidence FROM ticket ORDER BY id;
DROP TABLE ticket;
ALTER TABLE ticket_2 RENAME TO ticket;
CREATE UNIQUE INDEX ticket_key ON ticket (key) WHERE shape <> 'double';
CREATE UNIQUE INDEX ticket_ref ON ticket (desk, ref_id) WHERE ref_id IS NOT NULL;
CREATE INDEX ticket_to_check ON ticket (desk, checked_at) WHERE state = 'open';
CREATE INDEX ticket_risky ON ticket (desk, filed_at) WHERE risky = 1;
CREATE INDEX ticket_number ON ticket (ref_number) WHERE ref_number IS NOT NULL;
CREATE INDEX ticket_closer ON ticket (admin_group, closed_by, closed_at) WHERE closed_by IS NOT NULL;
