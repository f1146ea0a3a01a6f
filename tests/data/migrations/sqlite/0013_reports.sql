-- A file at a closed ticket, and a person who left.
UPDATE ticket SET evidence = '[{"name":"screen.png","url":"https://desk.example/screen.png"}]' WHERE id = (SELECT MIN(id) FROM ticket);
INSERT INTO leaver (person, source, left_at) VALUES ('hash-of-p-9', 'idm', 1795000000000);
