-- Figures as this schema leaves them, and counted anew from then on.
INSERT INTO kpi_mark (kind, at, dim, assignment_id, exact) VALUES ('closed', 1794960000000, 7, 1002, 1795000002000);
INSERT INTO kpi_cell (kind, at, dim, n, oldest, main, rest) VALUES ('closed', 1794960000000, 7, 1, 1795000002000, NULL, NULL);
INSERT INTO kpi_dirty (kind, at, dim, mark) VALUES ('closed', 1794960000000, 7, 1);
INSERT INTO kpi_leaver (person, left_at, ended_at, orders, waiting, assignment_id, dim) VALUES (5, 1795000000001, 1795000002000, 1, 0, 1002, 7);
