-- What the second version knows in addition: owners, and tokens of each role.
INSERT INTO customers VALUES
	('alice', false, '2026-02-01', 8),
	('gone', true, '2025-02-01', 8);
INSERT INTO tokens (id, name, role, subject, hash, created_by, created_at, expires_at, last_used_at, revision) VALUES
	('tok-aaaaaaaaaa', 'ops', 'admin', '', sha256('1'), 'unix', '2026-02-01', NULL, '2026-02-02', 9),
	('tok-bbbbbbbbbb', 'laptop', 'customer', 'alice', sha256('2'), 'tok-aaaaaaaaaa', '2026-02-01', '2126-02-01', NULL, 9),
	('tok-cccccccccc', 'host', 'host', 'old-host', sha256('3'), 'unix', '2026-02-01', NULL, NULL, 9),
	('tok-dddddddddd', 'gateway', 'gateway', 'old-gateway', sha256('4'), 'unix', '2026-02-01', NULL, NULL, 9);
INSERT INTO environments (id, name, spec, cpu_milli, memory_bytes, gpu, gpu_milli, login, password_hash, ssh_host_key,
	ssh_host_key_public, phase, stage, reason, power, host, gpus, assignment, assignment_revision, created_at,
	phase_since, revision)
VALUES
	('env-5', 'runs', '{"name": "runs", "image": "x", "cpu_milli": 500, "memory_bytes": 16777216, "customer": "alice"}',
		500, 16777216, 0, 0, 'developer', '$y$hash', 'KEY', 'ssh-ed25519 AAAA', 'creating', 'starting', '', 'on',
		'old-host', NULL, 'running', 10, '2026-02-01', '2026-02-02', 10);
INSERT INTO port_mappings VALUES
	('203.0.113.10', 'tcp', 30004, 'env-5', 'ssh', 'reserved', NULL, NULL, 10, '2026-02-02', NULL, 10);
UPDATE leader SET epoch = 4, revision = 10;
