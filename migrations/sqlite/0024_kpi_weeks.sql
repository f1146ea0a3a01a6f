-- Weeks, and months that tell what arrived, too: added up from the days that are kept, so no order is counted again. A week
-- begins on a Monday; the first day of all was a Thursday.
DELETE FROM kpi_cell WHERE kind = 'closed_month';
DELETE FROM kpi_dirty WHERE kind = 'closed_month';
INSERT INTO kpi_dirty (kind, at, dim, mark)
SELECT DISTINCT 'week', at - ((at + 259200000) % 604800000 + 604800000) % 604800000, dim, 1 FROM kpi_cell WHERE kind IN ('closed', 'arrived')
UNION ALL
SELECT DISTINCT 'month', CAST(strftime('%s', at / 1000, 'unixepoch', 'start of month') AS INTEGER) * 1000, dim, 1
FROM kpi_cell WHERE kind IN ('closed', 'arrived')
UNION ALL
SELECT DISTINCT 'trend_week', at - ((at + 259200000) % 604800000 + 604800000) % 604800000, dim, 1 FROM kpi_cell WHERE kind = 'trend';
-- Until then, nothing is told as counted.
DELETE FROM cursor WHERE name = 'kpi/rolled';
