-- Sums of sums as this schema keeps them, and one that waits.
INSERT INTO kpi_cell (kind, at, dim, n, oldest, main, rest) VALUES ('week', 1794787200000, 8, 1, 1795000002000, NULL, NULL);
INSERT INTO kpi_cell (kind, at, dim, n, oldest, main, rest) VALUES ('month', 1793491200000, 8, 1, 1795000002000, NULL, NULL);
INSERT INTO kpi_dirty (kind, at, dim, mark) VALUES ('trend_week', 1794787200000, 0, 1);
-- What a ticket was made of, as kept until the next schema.
UPDATE ticket SET draft = '{"key":"lm-old-key"}' WHERE id = 501;
