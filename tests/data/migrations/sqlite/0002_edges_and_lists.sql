-- What the second schema added: a failing edge, an order that left the list, one that a round missed once.
INSERT INTO edge_trouble (edge, work, since, at, times, code, reason) VALUES ('source/idm', 'poll', 1795000000000, 1795000060000, 2, 'E-BUSY', 'idm answered 429');
UPDATE listed SET gone_at = 1795000060000, missed = 2 WHERE external_id = 'A-2';
INSERT INTO listed (source, external_id, run_at, missed) VALUES ('idm', 'A-3', 1795000000000, 1);
INSERT INTO early_withdrawal (source, external_id, operation, at) VALUES ('idm', 'A-8', 'revoke', 1795000000005);
