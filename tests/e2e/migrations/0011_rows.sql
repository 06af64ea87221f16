-- The eleventh version has no new columns: whole GPUs under its guard, and a host that shrank below
-- what it has given away.
INSERT INTO hosts (id, address, pool, labels, version, cpu_milli, memory_bytes, gpus, online, mode, status_since,
	revision, mode_since)
VALUES ('shrunk-host', '10.0.0.5', 'default', '{}', '0.4', 4000, 8589934592,
	'[{"uuid": "GPU-2", "model": "H200", "memory_bytes": 1}, {"uuid": "GPU-3", "model": "H200", "memory_bytes": 1}]', true,
	'active', '2026-09-01', 20, '2026-09-01');
INSERT INTO environments (id, name, spec, cpu_milli, memory_bytes, gpu, gpu_milli, login, password_hash, ssh_host_key,
	ssh_host_key_public, phase, stage, reason, power, host, gpus, assignment, assignment_revision, created_at,
	phase_since, revision)
VALUES
	('env-10', 'large', '{"name": "large", "image": "x", "cpu_milli": 3000, "memory_bytes": 1073741824, "gpu": 2}',
		3000, 1073741824, 2, 0, 'developer', '$y$hash', 'KEY', 'ssh-ed25519 AAAA', 'running', '', '', 'on', 'shrunk-host',
		'[{"uuid": "GPU-2", "milli": 1000}, {"uuid": "GPU-3", "milli": 1000}]', 'running', 20, '2026-09-01', '2026-09-02', 20);
SET CONSTRAINTS ALL IMMEDIATE;
UPDATE hosts SET cpu_milli = 2000, gpus = '[]' WHERE id = 'shrunk-host';
UPDATE leader SET epoch = 13, revision = 20;
