-- A ticket that is drafted and not sent, as this schema keeps it.
INSERT INTO ticket (id, key, desk, admin_group, route, state, template, template_version, catalog_version, planned_at) VALUES
    (503, 'lm-new-key', 'desk', 'sap-admins', 'by convention', 'dropped', 'default', 'v', 'c', 1795000000500);
INSERT INTO ticket_draft (id, draft) VALUES (503, '{"key":"lm-new-key"}');
