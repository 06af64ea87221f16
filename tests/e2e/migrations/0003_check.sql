-- Hosts are in their mode since they are in their state, and nobody has asked for anything or crashed.
SELECT complaint FROM (VALUES
	(holds('a mode is as old as the status', NOT EXISTS (SELECT FROM hosts WHERE mode_since IS DISTINCT FROM status_since))),
	(holds('nothing is asked for, no deadline, no crash', NOT EXISTS (SELECT FROM environments
		WHERE (action, move_to, crashes) <> ('', '', 0) OR expires_at IS NOT NULL OR exit_code IS NOT NULL
		OR next_try IS NOT NULL))),
	(refused('environments_stage_check', 'UPDATE environments SET stage = ''thinking''')),
	(refused('environments_action_check', 'UPDATE environments SET action = ''rest''')),
	(refused('environments_exit_code_check', 'UPDATE environments SET exit_code = 256')),
	(refused('environments_check', 'UPDATE environments SET move_to = ''old-host'' WHERE id = ''env-1''')),
	(refused('environments_check', 'UPDATE environments SET action = ''restart'' WHERE phase = ''deleted'''))
) AS checks (complaint);
