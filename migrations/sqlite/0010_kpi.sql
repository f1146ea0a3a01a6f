-- Figures off the hot path: everything here is computed from journal and assignments, and can be thrown away and made
-- again (calendars and forecasts excepted: they say what was known at their time). Nothing here is written by intake,
-- dispatch or sync.

-- What figures are cut by. `id` is a digest of the other columns but the name, so that nobody hands out numbers.
CREATE TABLE kpi_dim (
    id               INTEGER PRIMARY KEY,
    application_id   TEXT    NOT NULL,
    application_name TEXT    NOT NULL,
    admin_group      TEXT    NOT NULL,
    operation        TEXT    NOT NULL,
    desk             TEXT    NOT NULL,
    named_by         INTEGER NOT NULL
) STRICT;

-- One assignment as it counts, made of its journal up to `seq`. An open one is made again when `config` changes; a closed
-- one keeps the calendar and the target it was closed under.
CREATE TABLE kpi_case (
    assignment_id INTEGER PRIMARY KEY,
    seq           INTEGER NOT NULL,
    dim           INTEGER NOT NULL,
    open          INTEGER NOT NULL,
    config        TEXT    NOT NULL,
    body          TEXT    NOT NULL
) STRICT;

-- Where a case counts: the day it was closed, the hour since which it waits, … `exact` is the instant itself.
CREATE TABLE kpi_mark (
    kind          TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    dim           INTEGER NOT NULL,
    assignment_id INTEGER NOT NULL,
    exact         INTEGER NOT NULL,
    PRIMARY KEY (kind, at, dim, assignment_id)
) STRICT, WITHOUT ROWID;

-- Sums over marks. `main` and `rest` hold counts and mergeable sketches, where the kind has them.
CREATE TABLE kpi_cell (
    kind   TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    dim    INTEGER NOT NULL,
    n      INTEGER NOT NULL,
    oldest INTEGER NOT NULL,
    main   TEXT,
    rest   TEXT,
    PRIMARY KEY (kind, at, dim)
) STRICT, WITHOUT ROWID;

-- Cells to compute again; `mark` grows with each asking, so that one that is asked for meanwhile stays asked for.
CREATE TABLE kpi_dirty (
    kind TEXT    NOT NULL,
    at   INTEGER NOT NULL,
    dim  INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    PRIMARY KEY (kind, at, dim)
) STRICT, WITHOUT ROWID;

-- Every calendar that ever counted, so that a closed case can be computed again by its own.
CREATE TABLE kpi_calendar (
    version TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    content TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- By when an assignment was expected, said once when its ticket was new.
CREATE TABLE kpi_forecast (
    assignment_id INTEGER PRIMARY KEY,
    made_at       INTEGER NOT NULL,
    half_by       INTEGER NOT NULL,
    nine_by       INTEGER NOT NULL
) STRICT;

-- Persons whose access ends: since when, and the last of their revocations. `waiting` are not closed.
CREATE TABLE kpi_leaver (
    person        INTEGER PRIMARY KEY,
    left_at       INTEGER NOT NULL,
    ended_at      INTEGER,
    orders        INTEGER NOT NULL,
    waiting       INTEGER NOT NULL,
    assignment_id INTEGER NOT NULL,
    dim           INTEGER NOT NULL
) STRICT;
CREATE INDEX kpi_leaver_left ON kpi_leaver (left_at);
