-- What an outcome is told with: names and addresses of the files at a ticket, as JSON. Erasable with its words.
ALTER TABLE ticket ADD COLUMN evidence TEXT;

-- Persons (by salted hash) of whom a platform said that they left: what is to be taken from them goes first.
CREATE TABLE leaver (
    person  TEXT PRIMARY KEY,
    source  TEXT    NOT NULL,
    left_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
