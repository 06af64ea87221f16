-- What the twelfth version knows in addition: whose a key is.
INSERT INTO idempotency_keys VALUES (repeat('b', 40), sha256('request'), 'env-5', now(), 21, 'customer/alice');
UPDATE leader SET epoch = 14, revision = 21;
