-- A kind of work that fails at an edge, until it is answered again: shown on the operations page, told once.
CREATE TABLE edge_trouble (
    edge   TEXT COLLATE "C"    NOT NULL,
    work   TEXT COLLATE "C"    NOT NULL CHECK (work IN ('tickets', 'changes', 'poll', 'reports')),
    since  BIGINT NOT NULL,
    at     BIGINT NOT NULL,
    times  BIGINT NOT NULL,
    code   TEXT COLLATE "C"    NOT NULL,
    reason TEXT COLLATE "C"    NOT NULL,
    PRIMARY KEY (edge, work)
);

-- An order that left the list may come back: the row stays for a while, with the time it was found to be gone. A list
-- read in several pages is no single picture of it, so there an order is gone when two complete rounds missed it.
ALTER TABLE listed ADD COLUMN missed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE listed ADD COLUMN gone_at BIGINT;
CREATE INDEX listed_present ON listed (source, run_at) WHERE gone_at IS NULL;
CREATE INDEX listed_gone ON listed (source, gone_at) WHERE gone_at IS NOT NULL;

-- Withdrawals of two operations of one order may both be early. An empty operation means all of them.
CREATE TABLE early_withdrawal_2 (
    source      TEXT COLLATE "C"    NOT NULL,
    external_id TEXT COLLATE "C"    NOT NULL,
    operation   TEXT COLLATE "C"    NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (source, external_id, operation)
);
INSERT INTO early_withdrawal_2 (source, external_id, operation, at)
    SELECT source, external_id, COALESCE(operation, ''), at FROM early_withdrawal;
DROP TABLE early_withdrawal;
ALTER TABLE early_withdrawal_2 RENAME TO early_withdrawal;
