-- How long something has lasted already, as a sum of spans that leaders measured: who leads next goes on from there,
-- whatever the clocks of their machines say. Of a host that it was not heard of; of a port that it waits for gateways.
ALTER TABLE hosts ADD COLUMN silent_ms bigint NOT NULL DEFAULT 0 CHECK (silent_ms >= 0);
ALTER TABLE port_mappings ADD COLUMN waited_ms bigint NOT NULL DEFAULT 0
	CHECK (waited_ms >= 0 AND (waited_ms = 0 OR state = 'withdrawing'));
