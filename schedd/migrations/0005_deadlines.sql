-- A mapping ends with its environment, also where nobody is left to end it but the gateway's kernel.
ALTER TABLE port_mappings
	ADD COLUMN expires_at timestamptz,
	ADD CHECK (expires_at IS NULL OR target_address IS NOT NULL);
