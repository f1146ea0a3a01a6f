-- What people look for: a ticket by its number, the work of one admin group.
CREATE INDEX ticket_number ON ticket (ref_number) WHERE ref_number IS NOT NULL;
CREATE INDEX assignment_group ON assignment (admin_group, id) WHERE admin_group IS NOT NULL;
