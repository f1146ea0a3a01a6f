-- A report that was sent once, and one that fails; an export of evidence.
INSERT INTO delivery (report, due_at, state, lease_no, failures, failed_at, next_at, code, reason, sent_at) VALUES
    ('weekly', 1794900000000, 'sent', 1, 0, NULL, 1794900000000, NULL, NULL, 1794900001000),
    ('weekly', 1795000000000, 'ready', 2, 2, 1795000001000, 1795000010000, 'E-CONNECT', 'the mail server cannot be reached', NULL);
INSERT INTO export_log (id, at, actor, what, form, asked, items, names, digest) VALUES
    (1, 1795000000000, 'auditor', 'evidence', 'xlsx', 'days=30', 2, 1, 'd1');
