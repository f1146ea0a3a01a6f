-- Figures of the finished order of the first step, computed from less than its journal: they are made again.
INSERT INTO kpi_dim (id, application_id, application_name, admin_group, operation, desk, named_by) VALUES (7, 'sap', 'SAP', '', 'revoke', '', 1002);
INSERT INTO kpi_case (assignment_id, seq, dim, open, config, body) VALUES (1002, 0, 7, 0, 'c', '{}');
INSERT INTO kpi_mark (kind, at, dim, assignment_id, exact) VALUES ('closed', 1794960000000, 7, 1002, 1795000002000);
INSERT INTO kpi_cell (kind, at, dim, n, oldest, main, rest) VALUES ('closed', 1794960000000, 7, 1, 1795000002000, NULL, NULL);
INSERT INTO kpi_dirty (kind, at, dim, mark) VALUES ('closed', 1794960000000, 7, 1);
INSERT INTO kpi_calendar (version, name, content) VALUES ('v-old', 'office', '{"zone":"Europe/Berlin","shifts":[[],[],[],[],[],[],[]],"closed":[],"yearly":[],"closures":[]}');
INSERT INTO kpi_forecast (assignment_id, made_at, half_by, nine_by) VALUES (1002, 1795000001000, 1795000002000, 1795000009000);
INSERT INTO kpi_leaver (person, left_at, ended_at, orders, waiting, assignment_id, dim) VALUES (5, 1795000000001, 1795000002000, 1, 0, 1002, 7);
