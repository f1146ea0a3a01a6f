-- What the sixth schema added: an assignment that stood when the list was first read, and one that does not map.
INSERT INTO standing (source, external_id, digest, document, since) VALUES
    ('oim', 'account-1+group-1', 'd1', '{"source":"oim","external_id":"account-1+group-1","generation":1795000000,"operation":"grant","application":{"id":"corp","name":"CORP"},"beneficiary":{"id":"P-1"},"priority":1}', 1795000000000),
    ('oim', 'account-1+group-2', 'd2', NULL, 1795000000000);
