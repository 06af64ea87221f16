-- CPU is given away once, as before, until somebody says otherwise.
SELECT complaint FROM (VALUES
	(holds('hosts of before have the default', NOT EXISTS (SELECT FROM hosts WHERE cpu_overcommit_percent IS NOT NULL))),
	(holds('the default is once', (SELECT cpu_overcommit_percent = 100 FROM leader))),
	(refused('leader_cpu_overcommit_percent_check', 'UPDATE leader SET cpu_overcommit_percent = 99')),
	(refused('hosts_cpu_overcommit_percent_check', 'UPDATE hosts SET cpu_overcommit_percent = 1601')),
	(refused('milli CPU and', 'UPDATE hosts SET cpu_overcommit_percent = 1600; UPDATE leader SET cpu_overcommit_percent = 1600;
		UPDATE environments SET cpu_milli = 64001, host = ''emptied-host'' WHERE id = ''env-1''')),
	(accepted('UPDATE hosts SET cpu_overcommit_percent = 1600;
		UPDATE environments SET cpu_milli = 60000, host = ''emptied-host'' WHERE id = ''env-3'''))
) AS checks (complaint);
