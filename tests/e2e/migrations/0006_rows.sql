-- What the sixth version knows in addition: where the leader is, and what is gone.
INSERT INTO departed VALUES (15, 'port', '203.0.113.10/tcp/30099'), (15, 'token', 'tok-eeeeeeeeee');
UPDATE leader SET epoch = 8, revision = 15, address = 'unix:/run/portico/schedd.sock';
