-- What was removed before is not known: a copy of that time is read anew.
SELECT complaint FROM (VALUES
	(holds('departures count from the revision of the migration', (SELECT departed_since = revision FROM leader))),
	(holds('the leader has no address yet', (SELECT address = '' FROM leader))),
	(refused('departed_kind_check', 'INSERT INTO departed VALUES (1, ''leader'', ''x'')'))
) AS checks (complaint);
