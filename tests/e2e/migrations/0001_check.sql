-- What the first version refuses; it has nothing to keep.
SELECT complaint FROM (VALUES
	(refused('hosts_mode_check', 'UPDATE hosts SET mode = ''away''')),
	(refused('hosts_id_check', 'UPDATE hosts SET id = ''-x'' WHERE id = ''idle-host''')),
	(refused('environments_host_fkey', 'DELETE FROM hosts')),
	(refused('environments_phase_check', 'UPDATE environments SET phase = ''gone''')),
	(refused('environments_live_name', 'UPDATE environments SET name = ''same'' WHERE phase <> ''deleted''')),
	(refused('port_mappings_pkey', 'UPDATE port_mappings SET port = 1')),
	(refused('port_mappings_environment_fkey', 'DELETE FROM environments')),
	(refused('port_mappings_state_check', 'UPDATE port_mappings SET state = ''lost''')),
	(refused('leader_singleton_check', 'INSERT INTO leader (singleton, epoch, revision) VALUES (false, 1, 1)')),
	(refused('leader_pkey', 'INSERT INTO leader (epoch, revision) VALUES (1, 1)')),
	(refused('is not the leader any more', 'SELECT leader_advance(0, revision, revision + 1) FROM leader'))
) AS checks (complaint);
