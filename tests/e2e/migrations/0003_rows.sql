-- What the third version knows in addition: what was asked for and is not done yet, deadlines, and crash loops.
INSERT INTO hosts VALUES ('emptied-host', '10.0.0.8', 'default', '{}', '0.2', 4000, 8589934592, '[]', true, 'draining',
	'2026-03-01', 11, '2026-03-02');
INSERT INTO environments (id, name, spec, cpu_milli, memory_bytes, gpu, gpu_milli, login, password_hash, ssh_host_key,
	ssh_host_key_public, phase, stage, reason, power, host, gpus, assignment, assignment_revision, created_at,
	phase_since, revision, action, move_to, expires_at, exit_code, crashes, next_try)
VALUES
	('env-6', 'moves', '{"name": "moves", "image": "x", "cpu_milli": 500, "memory_bytes": 16777216}',
		500, 16777216, 0, 0, 'developer', '$y$hash', 'KEY', 'ssh-ed25519 AAAA', 'stopping', '', '', 'on',
		'emptied-host', NULL, 'running', 12, '2026-03-01', '2026-03-02', 12, 'move', 'old-host', '2126-01-01', NULL, 0, NULL),
	('env-7', 'loops', '{"name": "loops", "image": "x", "cpu_milli": 500, "memory_bytes": 16777216}',
		500, 16777216, 0, 0, 'developer', '$y$hash', 'KEY', 'ssh-ed25519 AAAA', 'creating', 'crash-loop', 'it ends', 'on',
		'emptied-host', NULL, 'running', 12, '2026-03-01', '2026-03-02', 12, '', '', NULL, 3, 4, '2026-03-03');
UPDATE leader SET epoch = 5, revision = 12;
