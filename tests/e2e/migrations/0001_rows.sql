-- Rows of every kind and state that the first version of the schema can hold.
INSERT INTO hosts VALUES ('old-host', '10.0.0.9', 'default', '{"zone": "a"}', '0.1', 4000, 8589934592,
	'[{"uuid": "GPU-1", "model": "H200", "memory_bytes": 1}]', true, 'active', '2026-01-01', 3),
	('idle-host', '10.0.0.7', 'default', '{}', '0.1', 1, 1, '[]', false, 'cordoned', '2026-01-01', 3);
INSERT INTO gateways VALUES ('old-gateway', '["203.0.113.10"]', '0.1', false, '2026-01-01', 2, 2);
INSERT INTO environments (id, name, spec, cpu_milli, memory_bytes, gpu, gpu_milli, login, password_hash, ssh_host_key,
	ssh_host_key_public, phase, stage, reason, power, host, gpus, assignment, assignment_revision, created_at,
	phase_since, revision)
VALUES
	('env-1', 'runs', '{"name": "runs", "image": "x", "cpu_milli": 1000, "memory_bytes": 1073741824, "gpu_milli": 300}',
		1000, 1073741824, 0, 300, 'developer', '$y$hash', 'KEY', 'ssh-ed25519 AAAA', 'running', '', '', 'on',
		'old-host', '[{"uuid": "GPU-1", "milli": 300}]', 'running', 4, '2026-01-01', '2026-01-02', 5),
	('env-2', 'asks', '{"name": "asks", "image": "x", "cpu_milli": 9000, "memory_bytes": 1073741824}',
		9000, 1073741824, 0, 0, 'developer', '$y$hash', 'KEY', 'ssh-ed25519 AAAA', 'pending', 'placing',
		'no host can take asks', 'on', NULL, NULL, 'none', 0, '2026-01-01', '2026-01-01', 6),
	('env-3', 'stops', '{"name": "stops", "image": "x", "cpu_milli": 100, "memory_bytes": 16777216}',
		100, 16777216, 0, 0, 'developer', '$y$hash', 'KEY', 'ssh-ed25519 AAAA', 'deleting', '', '', 'on',
		'old-host', NULL, 'running', 5, '2026-01-01', '2026-01-03', 7),
	('env-4', 'runs', '{"name": "runs", "image": "x", "cpu_milli": 100, "memory_bytes": 16777216}',
		100, 16777216, 0, 0, 'developer', NULL, NULL, 'ssh-ed25519 AAAA', 'deleted', '', '', 'on', NULL, NULL,
		'none', 3, '2025-01-01', '2025-01-03', 4);
INSERT INTO port_mappings VALUES
	('203.0.113.10', 'tcp', 30001, 'env-1', 'ssh', 'published', '10.0.0.9', 41000, 5, '2026-01-02', NULL, 5),
	('203.0.113.10', 'tcp', 30002, 'env-3', 'ssh', 'withdrawing', NULL, NULL, 7, '2026-01-03', NULL, 7),
	('203.0.113.10', 'tcp', 30003, 'env-4', 'ssh', 'quarantined', NULL, NULL, 4, '2026-01-03', '2126-01-03', 4);
INSERT INTO events (revision, actor, subject_kind, subject, action, message) VALUES (1, 'unix', 'host', 'old-host', 'register', '');
UPDATE leader SET epoch = 3, revision = 7;
