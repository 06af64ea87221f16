-- Mappings of the time before end with their environments only.
SELECT complaint FROM (VALUES
	(holds('no mapping of before has an end', NOT EXISTS (SELECT FROM port_mappings WHERE expires_at IS NOT NULL))),
	(refused('port_mappings_check', 'UPDATE port_mappings SET expires_at = now() WHERE target_address IS NULL'))
) AS checks (complaint);
