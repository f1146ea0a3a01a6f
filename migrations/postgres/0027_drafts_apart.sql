-- At once: a draft that a replica of the older version still writes would be copied by nobody.
LOCK TABLE ticket IN ACCESS EXCLUSIVE MODE;

-- A draft is most of a ticket's row, and stays as it is while the row changes. Erasable.
CREATE TABLE ticket_draft (
    id    BIGINT PRIMARY KEY,
    draft TEXT COLLATE "C" NOT NULL
);
INSERT INTO ticket_draft (id, draft) SELECT id, draft FROM ticket WHERE draft IS NOT NULL ORDER BY id;

-- A column that is dropped stays in every row, with the names of persons in it. Setting it to nothing before would write each
-- row again and an entry in each index, and leave the old ones to be cleared away; so the table is written anew, whole.
ALTER TABLE ticket DROP COLUMN draft;
CLUSTER ticket USING ticket_pkey;
ALTER TABLE ticket SET WITHOUT CLUSTER;
