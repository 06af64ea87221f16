-- What the fourth version knows in addition: a request that may come again.
INSERT INTO idempotency_keys VALUES (repeat('a', 40), sha256('request'), 'env-5', now(), 13);
UPDATE leader SET epoch = 6, revision = 13;
