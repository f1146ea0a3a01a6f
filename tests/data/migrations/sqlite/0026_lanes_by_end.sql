-- No table and no column is new.
SELECT 1;
