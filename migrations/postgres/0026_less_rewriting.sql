-- What is rewritten with each step of an order is less. `state` changes at each step, `closed_at` when the order ends.
DROP INDEX assignment_lane;
CREATE INDEX assignment_lane ON assignment (lane, lane_at, id) WHERE closed_at IS NULL;

-- A draft is most of a ticket's row, and stays as it is while the row changes. Erasable.
CREATE TABLE ticket_draft (
    id    BIGINT PRIMARY KEY,
    draft TEXT COLLATE "C" NOT NULL
);
INSERT INTO ticket_draft (id, draft) SELECT id, draft FROM ticket WHERE draft IS NOT NULL ORDER BY id;
ALTER TABLE ticket DROP COLUMN draft;
