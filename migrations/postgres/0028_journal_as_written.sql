-- As on SQLite, where lines of the journal lay by order. Here they always lay as they were written: nothing changes.
SELECT 1;
