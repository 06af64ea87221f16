-- What the eighth version knows in addition: CPU that is given away more than once, by the configuration and by host.
UPDATE leader SET epoch = 10, revision = 17, cpu_overcommit_percent = 200;
INSERT INTO hosts (id, address, pool, labels, version, cpu_milli, memory_bytes, gpus, online, mode, status_since,
	revision, mode_since, cpu_overcommit_percent)
VALUES ('shared-host', '10.0.0.6', 'default', '{}', '0.3', 1000, 8589934592, '[]', true, 'active', '2026-08-01', 17,
	'2026-08-01', 400);
INSERT INTO environments (id, name, spec, cpu_milli, memory_bytes, gpu, gpu_milli, login, password_hash, ssh_host_key,
	ssh_host_key_public, phase, stage, reason, power, host, gpus, assignment, assignment_revision, created_at,
	phase_since, revision)
VALUES
	('env-9', 'crowded', '{"name": "crowded", "image": "x", "cpu_milli": 3900, "memory_bytes": 16777216}',
		3900, 16777216, 0, 0, 'developer', '$y$hash', 'KEY', 'ssh-ed25519 AAAA', 'running', '', '', 'on',
		'shared-host', NULL, 'running', 17, '2026-08-01', '2026-08-02', 17);
