-- Figures off the hot path: everything here is computed from journal and assignments, and can be thrown away and made
-- again (calendars and forecasts excepted: they say what was known at their time). Nothing here is written by intake,
-- dispatch or sync.

-- What figures are cut by. `id` is a digest of the other columns but the name, so that nobody hands out numbers.
CREATE TABLE kpi_dim (
    id               BIGINT PRIMARY KEY,
    application_id   TEXT COLLATE "C" NOT NULL,
    application_name TEXT COLLATE "C" NOT NULL,
    admin_group      TEXT COLLATE "C" NOT NULL,
    operation        TEXT COLLATE "C" NOT NULL,
    desk             TEXT COLLATE "C" NOT NULL,
    named_by         BIGINT NOT NULL
);

-- One assignment as it counts, made of its journal up to `seq`. An open one is made again when `config` changes; a closed
-- one keeps the calendar and the target it was closed under.
CREATE TABLE kpi_case (
    assignment_id BIGINT PRIMARY KEY,
    seq           BIGINT NOT NULL,
    dim           BIGINT NOT NULL,
    open          BIGINT NOT NULL,
    config        TEXT COLLATE "C" NOT NULL,
    body          TEXT COLLATE "C" NOT NULL
);

-- Where a case counts: the day it was closed, the hour since which it waits, … `exact` is the instant itself.
CREATE TABLE kpi_mark (
    kind          TEXT COLLATE "C" NOT NULL,
    at            BIGINT NOT NULL,
    dim           BIGINT NOT NULL,
    assignment_id BIGINT NOT NULL,
    exact         BIGINT NOT NULL,
    PRIMARY KEY (kind, at, dim, assignment_id)
);

-- Sums over marks. `main` and `rest` hold counts and mergeable sketches, where the kind has them.
CREATE TABLE kpi_cell (
    kind   TEXT COLLATE "C" NOT NULL,
    at     BIGINT NOT NULL,
    dim    BIGINT NOT NULL,
    n      BIGINT NOT NULL,
    oldest BIGINT NOT NULL,
    main   TEXT COLLATE "C",
    rest   TEXT COLLATE "C",
    PRIMARY KEY (kind, at, dim)
);

-- Cells to compute again; `mark` grows with each asking, so that one that is asked for meanwhile stays asked for.
CREATE TABLE kpi_dirty (
    kind TEXT COLLATE "C" NOT NULL,
    at   BIGINT NOT NULL,
    dim  BIGINT NOT NULL,
    mark BIGINT NOT NULL,
    PRIMARY KEY (kind, at, dim)
);

-- Every calendar that ever counted, so that a closed case can be computed again by its own.
CREATE TABLE kpi_calendar (
    version TEXT COLLATE "C" PRIMARY KEY,
    name    TEXT COLLATE "C" NOT NULL,
    content TEXT COLLATE "C" NOT NULL
);

-- By when an assignment was expected, said once when its ticket was new.
CREATE TABLE kpi_forecast (
    assignment_id BIGINT PRIMARY KEY,
    made_at       BIGINT NOT NULL,
    half_by       BIGINT NOT NULL,
    nine_by       BIGINT NOT NULL
);

-- Persons whose access ends: since when, and the last of their revocations. `waiting` are not closed.
CREATE TABLE kpi_leaver (
    person        BIGINT PRIMARY KEY,
    left_at       BIGINT NOT NULL,
    ended_at      BIGINT,
    orders        BIGINT NOT NULL,
    waiting       BIGINT NOT NULL,
    assignment_id BIGINT NOT NULL,
    dim           BIGINT NOT NULL
);
CREATE INDEX kpi_leaver_left ON kpi_leaver (left_at);

-- What changed of late, for the figures: written in the order of time, so an index of blocks is enough and costs inserts nothing.
CREATE INDEX journal_seen ON journal USING brin (seen_at);
