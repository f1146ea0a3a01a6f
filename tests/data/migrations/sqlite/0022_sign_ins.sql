-- What this schema added: somebody who has signed in.
INSERT INTO sign_in (hash, until) VALUES ('9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', 1795000000000);
