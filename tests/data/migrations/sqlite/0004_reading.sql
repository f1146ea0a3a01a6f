-- Indexes alone: a ticket without a number and one of another group lie beside those of the first step.
INSERT INTO ticket (id, key, desk, admin_group, route, state, template, template_version, catalog_version, planned_at) VALUES
    (502, 'lm-another-key', 'desk', 'crm-admins', 'by convention', 'dropped', 'default', 'v', 'c', 1795000000500);
