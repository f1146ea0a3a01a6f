-- A kind of work that fails at an edge, until it is answered again: shown on the operations page, told once.
CREATE TABLE edge_trouble (
    edge   TEXT    NOT NULL,
    work   TEXT    NOT NULL CHECK (work IN ('tickets', 'changes', 'poll', 'reports')),
    since  INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    times  INTEGER NOT NULL,
    code   TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    PRIMARY KEY (edge, work)
) STRICT, WITHOUT ROWID;

-- An order that left the list may come back: the row stays for a while, with the time it was found to be gone. A list
-- read in several pages is no single picture of it, so there an order is gone when two complete rounds missed it.
ALTER TABLE listed ADD COLUMN missed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE listed ADD COLUMN gone_at INTEGER;
CREATE INDEX listed_present ON listed (source, run_at) WHERE gone_at IS NULL;
CREATE INDEX listed_gone ON listed (source, gone_at) WHERE gone_at IS NOT NULL;

-- Withdrawals of two operations of one order may both be early. An empty operation means all of them.
CREATE TABLE early_withdrawal_2 (
    source      TEXT    NOT NULL,
    external_id TEXT    NOT NULL,
    operation   TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (source, external_id, operation)
) STRICT, WITHOUT ROWID;
INSERT INTO early_withdrawal_2 (source, external_id, operation, at)
    SELECT source, external_id, COALESCE(operation, ''), at FROM early_withdrawal;
DROP TABLE early_withdrawal;
ALTER TABLE early_withdrawal_2 RENAME TO early_withdrawal;
