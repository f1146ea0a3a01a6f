-- Sums and cases say more than they did, and some count otherwise: all figures are made again. Those closed keep the
-- calendar and the target they were closed under, which their cases hold; a case below 0 is made of nothing.
DELETE FROM kpi_mark;
DELETE FROM kpi_cell;
DELETE FROM kpi_dirty;
DELETE FROM kpi_leaver;
UPDATE kpi_case SET seq = -1;
-- Until then, nothing is told as counted.
DELETE FROM cursor WHERE name = 'kpi/rolled';
