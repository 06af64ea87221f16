-- Environments of the time before belong to nobody, and a name to its owner.
SELECT complaint FROM (VALUES
	(holds('environments of before have no owner', NOT EXISTS (SELECT FROM environments WHERE customer IS NOT NULL))),
	(refused('tokens_check', 'INSERT INTO tokens (id, name, role, subject, hash, created_by, created_at, revision)
		VALUES (''tok-x'', ''x'', ''admin'', ''alice'', sha256(''x''), ''unix'', now(), 1)')),
	(refused('tokens_customer_fkey', 'INSERT INTO tokens (id, name, role, subject, hash, created_by, created_at, revision)
		VALUES (''tok-x'', ''x'', ''customer'', ''nobody'', sha256(''x''), ''unix'', now(), 1)')),
	(refused('tokens_hash_check', 'INSERT INTO tokens (id, name, role, subject, hash, created_by, created_at, revision)
		VALUES (''tok-x'', ''x'', ''admin'', '''', ''x'', ''unix'', now(), 1)')),
	(refused('environments_customer_fkey', 'UPDATE environments SET spec = spec || ''{"customer": "nobody"}'' WHERE id = ''env-1''')),
	(refused('environments_live_name', 'UPDATE environments SET name = ''asks'' WHERE id = ''env-1'''))
) AS checks (complaint);
