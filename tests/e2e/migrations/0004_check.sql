SELECT complaint FROM (VALUES
	(refused('idempotency_keys_fingerprint_check', 'INSERT INTO idempotency_keys VALUES (''x'', ''x'', '''', now(), 1)'))
) AS checks (complaint);
