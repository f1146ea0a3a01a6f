-- A platform that waits for an answer must hear something by then.
ALTER TABLE assignment ADD COLUMN answer_by BIGINT;
CREATE INDEX assignment_answer_by ON assignment (source, answer_by) WHERE answer_by IS NOT NULL
    AND state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework', 'closed', 'superseded');

-- One more kind of work that can fail at an edge: answering in time.
ALTER TABLE edge_trouble DROP CONSTRAINT edge_trouble_work_check;
ALTER TABLE edge_trouble ADD CONSTRAINT edge_trouble_work_check
    CHECK (work IN ('tickets', 'changes', 'poll', 'reports', 'answers'));
