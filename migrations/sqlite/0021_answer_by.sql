-- A platform that waits for an answer must hear something by then.
ALTER TABLE assignment ADD COLUMN answer_by INTEGER;
CREATE INDEX assignment_answer_by ON assignment (source, answer_by) WHERE answer_by IS NOT NULL
    AND state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework', 'closed', 'superseded');

-- One more kind of work that can fail at an edge: answering in time.
CREATE TABLE edge_trouble_2 (
    edge   TEXT    NOT NULL,
    work   TEXT    NOT NULL CHECK (work IN ('tickets', 'changes', 'poll', 'reports', 'answers')),
    since  INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    times  INTEGER NOT NULL,
    code   TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    PRIMARY KEY (edge, work)
) STRICT, WITHOUT ROWID;
INSERT INTO edge_trouble_2 (edge, work, since, at, times, code, reason)
    SELECT edge, work, since, at, times, code, reason FROM edge_trouble;
DROP TABLE edge_trouble;
ALTER TABLE edge_trouble_2 RENAME TO edge_trouble;
