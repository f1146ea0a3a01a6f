-- Processes that serve this ledger: each says every few seconds that it is there.
CREATE TABLE replica (
    owner TEXT COLLATE "C" PRIMARY KEY,
    since BIGINT NOT NULL,
    until BIGINT NOT NULL
);

-- Duties that one process does at a time (a list to poll, a desk to ask for changes), and when each was done last.
CREATE TABLE turn (
    duty   TEXT COLLATE "C" PRIMARY KEY,
    owner  TEXT COLLATE "C" NOT NULL,
    until  BIGINT NOT NULL,
    ran_at BIGINT NOT NULL
);

-- Rows that change often stay on their pages, and their dead versions are cleared away early.
ALTER TABLE errand SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
ALTER TABLE assignment SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE ticket SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE turn SET (fillfactor = 50);
ALTER TABLE replica SET (fillfactor = 50);
