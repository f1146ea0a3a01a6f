-- One disagreement of each fate.
INSERT INTO finding (id, edge, kind, subject, number, key, ticket_id, assignment_id, untouched, state, found_at, seen_at, settled_at, settled_by) VALUES
    (1, 'desk/desk', 'orphan', 'id-T-90', 'T-90', 'lm-unknown', NULL, NULL, 0, 'open', 1795000000000, 1795000000000, NULL, NULL),
    (2, 'desk/desk', 'lost', 'id-T-91', 'T-91', 'lm-gone', NULL, NULL, 0, 'dismissed', 1795000000000, 1795000000000, 1795000100000, 'olga');
