-- Events of before are their owners', as far as that is known, and are kept as ever.
SELECT complaint FROM (VALUES
	(holds('events of owned environments are their owners''', NOT EXISTS (SELECT FROM events JOIN environments
		ON environments.id = events.subject WHERE subject_kind = 'environment'
		AND events.customer IS DISTINCT FROM environments.customer))),
	(holds('events of hosts are nobody''s', NOT EXISTS (SELECT FROM events WHERE subject_kind = 'host' AND customer IS NOT NULL))),
	(refused('events are only ever added', 'UPDATE events SET customer = ''alice'''))
) AS checks (complaint);
