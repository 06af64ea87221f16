-- What was asked before is still known, and nobody's.
SELECT complaint FROM (VALUES
	(holds('keys of before are nobody''s', (SELECT count(*) > 0 AND bool_and(caller = '') FROM idempotency_keys))),
	(refused('caller', 'INSERT INTO idempotency_keys VALUES (''x'', sha256(''x''), '''', now(), 1, NULL)'))
) AS checks (complaint);
