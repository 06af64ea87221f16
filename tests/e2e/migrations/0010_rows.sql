-- What the tenth version knows in addition: quotas, and usage that has ended.
INSERT INTO quotas VALUES ('alice', 10, 64000, 274877906944, 4, 20), ('gone', NULL, NULL, NULL, NULL, NULL);
UPDATE environments SET assignment = 'stopped', phase = 'stopped', stage = '', power = 'off', revision = 19 WHERE id = 'env-5';
UPDATE leader SET epoch = 12, revision = 19;
