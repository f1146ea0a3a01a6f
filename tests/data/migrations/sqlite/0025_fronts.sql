-- No table and no column is new. Two rows that no lastmile writes: the next schema finds lanes by when orders ended.
UPDATE assignment SET closed_at = 1795000009000 WHERE external_id = 'A-1';
UPDATE assignment SET closed_at = NULL WHERE external_id = 'A-2';
