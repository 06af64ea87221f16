-- How much of a host's CPU environments may have, in percent; NULL: what the leader's configuration says,
-- which it writes here.
ALTER TABLE leader ADD COLUMN cpu_overcommit_percent integer NOT NULL DEFAULT 100
	CHECK (cpu_overcommit_percent BETWEEN 100 AND 1600);
ALTER TABLE hosts ADD COLUMN cpu_overcommit_percent integer CHECK (cpu_overcommit_percent BETWEEN 100 AND 1600);

-- The same as before, but for what of a host's CPU may be given away. Memory and GPUs are what they are.
CREATE OR REPLACE FUNCTION environments_fit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	room record;
	used record;
	gpu record;
BEGIN
	SELECT hosts.cpu_milli::numeric * coalesce(hosts.cpu_overcommit_percent, leader.cpu_overcommit_percent) / 100
		AS cpu_milli, memory_bytes INTO room FROM hosts, leader WHERE id = NEW.host;
	SELECT sum(cpu_milli) AS cpu_milli, sum(memory_bytes) AS memory_bytes INTO used
		FROM environments WHERE host = NEW.host;
	IF used.cpu_milli > room.cpu_milli OR used.memory_bytes > room.memory_bytes THEN
		RAISE EXCEPTION 'host % has % milli CPU and % bytes; its environments would have % and %',
			NEW.host, trunc(room.cpu_milli), room.memory_bytes, used.cpu_milli, used.memory_bytes
			USING ERRCODE = 'PL002', CONSTRAINT = 'environments_fit';
	END IF;
	IF NEW.gpus IS NULL THEN
		RETURN NULL;
	END IF;
	SELECT share ->> 'uuid' AS uuid, sum((share ->> 'milli')::bigint) AS milli INTO gpu
		FROM environments, jsonb_array_elements(gpus) AS share
		WHERE host = NEW.host AND gpus IS NOT NULL
		GROUP BY share ->> 'uuid' HAVING sum((share ->> 'milli')::bigint) > 1000 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'GPU % of host % would be given away to % thousandths', gpu.uuid, NEW.host, gpu.milli
			USING ERRCODE = 'PL002', CONSTRAINT = 'environments_fit';
	END IF;
	RETURN NULL;
END
$$;
