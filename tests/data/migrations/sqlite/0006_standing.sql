-- What stood assigned: one row that maps, one that does not yet.
INSERT INTO standing (source, external_id, digest, document, since) VALUES
    ('idm', 'S-1', 'd-s1', '{"source":"idm","external_id":"S-1","generation":1,"operation":"grant","application":{"id":"sap","name":"SAP"},"beneficiary":{"id":"p-1"},"priority":1}', 1795000000000),
    ('idm', 'S-2', 'd-s2', NULL, 1795000000000);
