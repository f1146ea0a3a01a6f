-- Who has signed in at a browser: a hash of what it shows, never that itself.
CREATE TABLE sign_in (
    hash  TEXT COLLATE "C" PRIMARY KEY,
    until BIGINT NOT NULL
);
