-- As on PostgreSQL, where indexes keep what somebody may still see. Here they hold what is there: nothing changes.
SELECT 1;
