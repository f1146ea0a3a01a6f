-- A ledger in the middle of its work, as the first schema left it: one order open, one finished, one withdrawn before it
-- arrived, one held, a list with what it showed.
INSERT INTO meta (name, value) VALUES ('salt', 'a-salt-of-an-old-ledger');
INSERT INTO inbox (id, source, event_id, digest, received_at, answer, assignment_id, document) VALUES
    (101, 'idm', 'e-1', 'd-1', 1795000000000, 'new', 1001, '{"source":"idm","external_id":"A-1","generation":1,"operation":"grant","application":{"id":"sap","name":"SAP"},"entitlement":{"id":"role-a","name":"Role A"},"beneficiary":{"id":"p-1","name":"Pat Example"},"approved_at":1794999000000,"priority":1}'),
    (102, 'idm', 'e-2', 'd-2', 1795000000001, 'new', 1002, '{"source":"idm","external_id":"A-2","generation":1,"operation":"revoke","application":{"id":"sap","name":"SAP"},"beneficiary":{"id":"p-2"},"priority":2}'),
    (103, 'idm', 'e-3', 'd-3', 1795000000002, 'unknown_order', NULL, NULL),
    (104, 'idm', 'e-4', 'd-4', 1795000000003, 'quarantined', NULL, NULL);
INSERT INTO quarantine (id, source, event_id, digest, received_at, problem, body, state) VALUES
    (104, 'idm', 'e-4', 'd-4', 1795000000003, 'field `operation`: nothing stands at /op', '{}', 'held');
INSERT INTO early_withdrawal (source, external_id, operation, at) VALUES ('idm', 'A-9', NULL, 1795000000002), ('idm', 'A-8', 'grant', 1795000000002);
INSERT INTO cursor (name, value, at) VALUES ('pull/idm', '1795000000000', 1795000000000);
INSERT INTO listed (source, external_id, run_at) VALUES ('idm', 'A-1', 1795000000000), ('idm', 'A-2', 1795000000000);
INSERT INTO person (hash, source, external_id, name, seen_at) VALUES ('hash-1', 'idm', 'p-1', 'Pat Example', 1795000000000);
INSERT INTO assignment (id, natural_key, source, external_id, generation, operation, revocation, application_id, application_name, entitlement_id,
    entitlement_name, beneficiary, lane, lane_at, priority, approved_at, received_at, state, content_digest, document_id, desk, admin_group,
    ticket_id, filed_at, chain_seq, chain_head) VALUES
    (1001, 'idm/A-1/grant/1', 'idm', 'A-1', 1, 'grant', 0, 'sap', 'SAP', 'role-a', 'Role A', 'hash-1', 'lane-1', 1794999000000, 1, 1794999000000,
     1795000000000, 'open', 'c-1', 101, 'desk', 'sap-admins', 501, 1795000001000, 1, '3ffb1f7ec41e49fd2166abfdf424ddcc0b70480e80024aa3a00bb399130934a7');
INSERT INTO assignment (id, natural_key, source, external_id, generation, operation, revocation, application_id, application_name, beneficiary,
    lane, lane_at, priority, received_at, state, outcome, content_digest, document_id, closed_at, reported_at, closings, chain_seq, chain_head) VALUES
    (1002, 'idm/A-2/revoke/1', 'idm', 'A-2', 1, 'revoke', 1, 'sap', 'SAP', 'hash-2', 'lane-2', 1795000000001, 2, 1795000000001, 'reported',
     'fulfilled', 'c-2', 102, 1795000002000, 1795000003000, 1, 1, '83500d56ae5be22d62699a9f224e9868969fd146c4c1580f36ceac62b27fe801');
INSERT INTO revision (assignment_id, revision, document_id, content_digest, seen_at) VALUES (1001, 0, 101, 'c-0', 1795000000000);
INSERT INTO journal (assignment_id, seq, happened_at, whose_clock, seen_at, event, state, actor, cause, hash) VALUES
    (1001, 1, 1795000000000, 'lastmile', 1795000000000, 'opened', 'open', 'lastmile', 'filed', '3ffb1f7ec41e49fd2166abfdf424ddcc0b70480e80024aa3a00bb399130934a7'),
    (1002, 1, 1795000003000, 'lastmile', 1795000003000, 'reported', 'reported', 'lastmile', 'told', '83500d56ae5be22d62699a9f224e9868969fd146c4c1580f36ceac62b27fe801');
INSERT INTO checkpoint (id, at, assignments, head) VALUES (1, 1795000003000, 2, 'h');
INSERT INTO ticket (id, key, desk, admin_group, route, state, ref_id, ref_number, template, template_version, catalog_version, key_confirmed,
    planned_at, filed_at) VALUES
    (501, 'lm-old-key', 'desk', 'sap-admins', 'by convention', 'open', 'id-T-1', 'T-1', 'default', 'v', 'c', 1, 1795000000500, 1795000001000);
INSERT INTO ticket_item (ticket_id, assignment_id, revision) VALUES (501, 1001, 1);
INSERT INTO errand (id, kind, edge, ticket_id, assignment_id, state, rank, due_at, mark, made_at, attempts, lease_no) VALUES
    (901, 'create', 'desk/desk', 501, 1001, 'done', 1, 1795000000500, 'lm-old-key', 1795000000500, 1, 1);
INSERT INTO attempt (errand_id, lease_no, what, owner, started_at, deadline, ended_at, verdict) VALUES
    (901, 1, 'create', 'w', 1795000000600, 1795000120600, 1795000001000, 'done');
INSERT INTO stray (desk, ref_id, ref_number, key, ticket_id, kind, found_at, ours, action) VALUES
    ('desk', 'id-T-2', 'T-2', 'lm-old-key', 501, 'double', 1795000002000, 0, 'reported');
