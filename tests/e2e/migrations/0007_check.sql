-- What was given away before stays; more is refused, and events are kept.
SELECT complaint FROM (VALUES
	(refused('milli CPU and', 'UPDATE environments SET cpu_milli = 9000, host = ''emptied-host'' WHERE id = ''env-1''')),
	(refused('GPU GPU-1 of host old-host', 'UPDATE environments SET gpus = ''[{"uuid": "GPU-1", "milli": 1001}]'' WHERE id = ''env-1''')),
	(refused('events are only ever added', 'UPDATE events SET actor = ''nobody''')),
	(refused('events are only ever added', 'DELETE FROM events')),
	(refused('events are only ever added', 'TRUNCATE events'))
) AS checks (complaint);
