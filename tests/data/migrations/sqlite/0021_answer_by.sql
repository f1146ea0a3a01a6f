-- What this schema added: an order whose platform waits, and one that had no answer in time.
UPDATE assignment SET answer_by = 1795900000000 WHERE external_id = 'A-1';
INSERT INTO edge_trouble (edge, work, since, at, times, code, reason) VALUES ('source/idm', 'answers', 1795000000000, 1795000060000, 2, 'E-DEADLINE', '1 order has no answer yet: 1001');
