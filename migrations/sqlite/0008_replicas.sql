-- As on PostgreSQL, where several processes serve one ledger. Here one does: its rows stay empty.
CREATE TABLE replica (
    owner TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE turn (
    duty   TEXT PRIMARY KEY,
    owner  TEXT NOT NULL,
    until  INTEGER NOT NULL,
    ran_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
