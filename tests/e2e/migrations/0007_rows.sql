-- The seventh version has no new columns: one more row under its guards.
INSERT INTO environments (id, name, spec, cpu_milli, memory_bytes, gpu, gpu_milli, login, password_hash, ssh_host_key,
	ssh_host_key_public, phase, stage, reason, power, host, gpus, assignment, assignment_revision, created_at,
	phase_since, revision)
VALUES
	('env-8', 'guarded', '{"name": "guarded", "image": "x", "cpu_milli": 100, "memory_bytes": 16777216, "gpu_milli": 700}',
		100, 16777216, 0, 700, 'developer', '$y$hash', 'KEY', 'ssh-ed25519 AAAA', 'unreachable', '', '', 'on',
		'old-host', '[{"uuid": "GPU-1", "milli": 700}]', 'running', 16, '2026-07-01', '2026-07-02', 16);
INSERT INTO events (revision, actor, subject_kind, subject, action, message) VALUES (16, 'unix', 'host', 'old-host', 'cordon', '');
UPDATE leader SET epoch = 9, revision = 16;
