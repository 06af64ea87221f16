-- Whichever way an environment would take more than its host has is refused; what takes no more is not, also where a
-- host has less by now than it gave away.
SELECT complaint FROM (VALUES
	(refused('environments_fit', 'UPDATE environments SET cpu_milli = 9001 WHERE id = ''env-1''')),
	(refused('environments_fit', 'UPDATE environments SET memory_bytes = 8589934592 WHERE id = ''env-1''')),
	(refused('environments_fit', 'UPDATE environments SET cpu_milli = 9001, phase = ''stopped'', assignment = ''stopped'' WHERE id = ''env-1''')),
	(refused('environments_fit', 'UPDATE environments SET gpu = 1 WHERE id = ''env-1''')),
	(refused('environments_fit', 'UPDATE environments SET gpu_milli = 301 WHERE id = ''env-1''')),
	(refused('environments_fit', 'UPDATE environments SET gpus = NULL WHERE id = ''env-1''')),
	(refused('no GPU GPU-9', 'UPDATE environments SET gpus = ''[{"uuid": "GPU-9", "milli": 300}]'' WHERE id = ''env-1''')),
	(refused('no GPU GPU-1', 'UPDATE environments SET host = ''emptied-host'' WHERE id = ''env-1''')),
	(refused('environments_gpus_check', 'UPDATE environments SET gpus = ''[{"uuid": "GPU-1", "milli": -1}]'' WHERE id = ''env-1''')),
	(refused('environments_gpus_check', 'UPDATE environments SET gpus = ''[{"uuid": "GPU-1"}]'' WHERE id = ''env-1''')),
	(refused('environments_gpus_check', 'UPDATE environments SET gpus = ''[{"uuid": 1, "milli": 300}]'' WHERE id = ''env-1''')),
	(refused('environments_gpus_check', 'UPDATE environments SET gpus = ''[300]'' WHERE id = ''env-1''')),
	(refused('environments_gpus_check', 'UPDATE environments SET gpus = ''{}'' WHERE id = ''env-1''')),
	(refused('environments_fit', 'UPDATE hosts SET cpu_milli = 1 WHERE id = ''old-host'';
		UPDATE environments SET cpu_milli = cpu_milli + 1 WHERE id = ''env-1''')),
	(refused('environments_fit', 'UPDATE hosts SET memory_bytes = 1 WHERE id = ''old-host'';
		UPDATE environments SET memory_bytes = memory_bytes + 1 WHERE id = ''env-1''')),
	(accepted('UPDATE environments SET cpu_milli = 1001 WHERE id = ''env-1''')),
	(accepted('UPDATE hosts SET cpu_milli = 1, memory_bytes = 1, gpus = ''[]'' WHERE id = ''old-host'';
		UPDATE environments SET cpu_milli = cpu_milli - 1, memory_bytes = memory_bytes - 1, phase = ''creating''
		WHERE id = ''env-1''')),
	(accepted('UPDATE leader SET cpu_overcommit_percent = 100; UPDATE hosts SET cpu_overcommit_percent = NULL;
		UPDATE environments SET reason = ''stays'' WHERE host IS NOT NULL')),
	(accepted('UPDATE hosts SET cpu_milli = 1 WHERE id = ''old-host'';
		UPDATE environments SET host = NULL, gpus = NULL, assignment = ''none'', phase = ''pending'' WHERE id = ''env-1'''))
) AS checks (complaint);
-- More of the same host is another interval of its bill.
UPDATE environments SET cpu_milli = cpu_milli + 1 WHERE id = 'env-1';
SELECT complaint FROM (VALUES
	(holds('what it has is what is billed', (SELECT cpu_milli = 1001 FROM usage_intervals
		WHERE environment = 'env-1' AND ended_at IS NULL)))
) AS checks (complaint);
