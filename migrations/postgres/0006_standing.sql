-- What stands assigned on a platform (a `standing` list), so that a row which is gone can still be ordered away.
-- `document` (erasable) is the order that the row means; none while it does not map.
CREATE TABLE standing (
    source      TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C" NOT NULL,
    digest      TEXT COLLATE "C" NOT NULL,
    document    TEXT COLLATE "C",
    since       BIGINT NOT NULL,
    PRIMARY KEY (source, external_id)
);
