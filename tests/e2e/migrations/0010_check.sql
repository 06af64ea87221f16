-- What holds a place is known from now on; nothing has a limit.
SELECT complaint FROM (VALUES
	(holds('no customer of before has a limit', NOT EXISTS (SELECT FROM quotas))),
	(holds('each place is in one interval that goes on', NOT EXISTS (SELECT FROM environments
		FULL JOIN usage_intervals ON environment = environments.id AND usage_intervals.host = environments.host
		AND ended_at IS NULL WHERE (environments.host IS NULL) <> (environment IS NULL)
		OR (environment IS NULL AND environments.host IS NOT NULL)
		OR running <> (assignment = 'running') OR usage_intervals.customer IS DISTINCT FROM environments.customer))),
	(holds('shares of GPUs are counted', (SELECT gpu_milli = 300 FROM usage_intervals WHERE environment = 'env-1'))),
	(refused('quotas_customer_fkey', 'INSERT INTO quotas (customer) VALUES (''nobody'')')),
	(refused('quotas_gpu_check', 'INSERT INTO quotas (customer, gpu) VALUES (''alice'', -1)')),
	(refused('usage is only ever added', 'DELETE FROM usage_intervals')),
	(refused('usage is only ever added', 'UPDATE usage_intervals SET cpu_milli = 1')),
	(refused('usage_intervals_open', 'INSERT INTO usage_intervals (environment, host, cpu_milli, memory_bytes, gpu_milli,
		running, started_at) VALUES (''env-1'', ''x'', 1, 1, 0, true, now())'))
) AS checks (complaint);
