-- Lanes are found by whether their orders have ended, so a time of closing must stand where one has, and nowhere else. The
-- conditions are written such that each is one pass over the table.
UPDATE assignment SET closed_at = NULL
WHERE closed_at IS NOT NULL AND '' || state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework');
UPDATE assignment SET closed_at = COALESCE(
    -- The first step after the last one under way.
    (SELECT j.happened_at FROM journal AS j WHERE j.assignment_id = assignment.id AND j.seq > COALESCE(
        (SELECT MAX(l.seq) FROM journal AS l WHERE l.assignment_id = assignment.id
            AND l.state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')), 0)
     ORDER BY j.seq LIMIT 1), reported_at, received_at)
WHERE closed_at IS NULL AND '' || state IN ('closed', 'reported', 'proven', 'superseded', 'duplicate');

-- A partial index is written anew whenever a column of its condition changes: `state` does at each step of an order,
-- `closed_at` when it ends.
DROP INDEX assignment_lane;
CREATE INDEX assignment_lane ON assignment (lane, lane_at, id) WHERE closed_at IS NULL;
