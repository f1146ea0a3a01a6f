-- What stands assigned on a platform (a `standing` list), so that a row which is gone can still be ordered away.
-- `document` (erasable) is the order that the row means; none while it does not map.
CREATE TABLE standing (
    source      TEXT NOT NULL,
    external_id TEXT NOT NULL,
    digest      TEXT NOT NULL,
    document    TEXT,
    since       INTEGER NOT NULL,
    PRIMARY KEY (source, external_id)
) STRICT, WITHOUT ROWID;
