-- Rows of such tables, as PostgreSQL has them.
INSERT INTO replica (owner, since, until) VALUES ('worker-a', 1795000000000, 1795000010000);
INSERT INTO turn (duty, owner, until, ran_at) VALUES ('poll/idm', 'worker-a', 1795000010000, 1795000000000);
