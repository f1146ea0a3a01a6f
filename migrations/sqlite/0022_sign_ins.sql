-- Who has signed in at a browser: a hash of what it shows, never that itself.
CREATE TABLE sign_in (
    hash  TEXT    NOT NULL PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
