-- Whoever leads first counts from its own start, as leaders before did.
SELECT complaint FROM (VALUES
	(holds('no host was silent before', (SELECT bool_and(silent_ms = 0) FROM hosts))),
	(holds('no port has waited before', (SELECT bool_and(waited_ms = 0) FROM port_mappings))),
	(refused('hosts_silent_ms_check', 'UPDATE hosts SET silent_ms = -1')),
	(refused('port_mappings_check', 'UPDATE port_mappings SET waited_ms = -1')),
	(refused('port_mappings_check', 'UPDATE port_mappings SET waited_ms = 1 WHERE state = ''published'''))
) AS checks (complaint);
