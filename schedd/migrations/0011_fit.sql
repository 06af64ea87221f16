-- No host beyond its capacity, whichever way an environment comes to take more of it: a new place, or more CPU,
-- memory or GPU where it is. What takes less, or stays as it is, is never refused, so a host that shrinks, or whose
-- overcommit is lowered, keeps what it has and gets nothing new. Places on one host are given away one after the
-- other, also by sessions that run at once.
CREATE OR REPLACE FUNCTION environments_fit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	moved boolean := NEW.host IS DISTINCT FROM OLD.host;
	room record;
	used record;
	gpu record;
	wanted bigint := NEW.gpu::bigint * 1000 + NEW.gpu_milli;
BEGIN
	-- With a snapshot of before, the sums would miss what was committed while the lock was waited for.
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'a place on a host is given away at read committed, and not in a transaction at %',
			current_setting('transaction_isolation') USING ERRCODE = 'PL002', CONSTRAINT = 'environments_fit';
	END IF;
	PERFORM FROM hosts WHERE id = NEW.host FOR NO KEY UPDATE;
	SELECT hosts.cpu_milli::numeric * coalesce(hosts.cpu_overcommit_percent, leader.cpu_overcommit_percent) / 100
		AS cpu_milli, memory_bytes, gpus INTO room FROM hosts, leader WHERE id = NEW.host;
	SELECT sum(cpu_milli) AS cpu_milli, sum(memory_bytes) AS memory_bytes INTO used
		FROM environments WHERE host = NEW.host;
	IF (used.cpu_milli > room.cpu_milli AND (moved OR NEW.cpu_milli > OLD.cpu_milli))
		OR (used.memory_bytes > room.memory_bytes AND (moved OR NEW.memory_bytes > OLD.memory_bytes)) THEN
		RAISE EXCEPTION 'host % has % milli CPU and % bytes; its environments would have % and %',
			NEW.host, trunc(room.cpu_milli), room.memory_bytes, used.cpu_milli, used.memory_bytes
			USING ERRCODE = 'PL002', CONSTRAINT = 'environments_fit';
	END IF;
	IF NEW.gpus IS NOT NULL THEN
		-- The GPUs that it takes: the host's own, each once.
		SELECT taken.uuid, sum((share ->> 'milli')::bigint) AS milli,
			room.gpus @> jsonb_build_array(jsonb_build_object('uuid', taken.uuid)) AS is_there INTO gpu
			FROM (SELECT DISTINCT each ->> 'uuid' AS uuid FROM jsonb_array_elements(NEW.gpus) AS each) AS taken
			JOIN (environments CROSS JOIN jsonb_array_elements(gpus) AS share) ON share ->> 'uuid' = taken.uuid
			WHERE host = NEW.host GROUP BY taken.uuid
			HAVING sum((share ->> 'milli')::bigint) > 1000
				OR NOT room.gpus @> jsonb_build_array(jsonb_build_object('uuid', taken.uuid)) LIMIT 1;
		IF gpu.milli > 1000 THEN
			RAISE EXCEPTION 'GPU % of host % would be given away to % thousandths', gpu.uuid, NEW.host, gpu.milli
				USING ERRCODE = 'PL002', CONSTRAINT = 'environments_fit';
		ELSIF NOT gpu.is_there AND (moved OR NEW.gpus IS DISTINCT FROM OLD.gpus) THEN
			RAISE EXCEPTION 'host % has no GPU %', NEW.host, gpu.uuid
				USING ERRCODE = 'PL002', CONSTRAINT = 'environments_fit';
		END IF;
		wanted := wanted - (SELECT coalesce(sum((share ->> 'milli')::bigint), 0)
			FROM jsonb_array_elements(NEW.gpus) AS share);
	END IF;
	-- What is asked for is what is counted.
	IF wanted <> 0 THEN
		RAISE EXCEPTION '% asks for % whole GPUs and % thousandths and has % of host %',
			NEW.id, NEW.gpu, NEW.gpu_milli, coalesce(NEW.gpus, '[]'), NEW.host
			USING ERRCODE = 'PL002', CONSTRAINT = 'environments_fit';
	END IF;
	RETURN NULL;
END
$$;
DROP TRIGGER environments_fit_moved ON environments;
CREATE CONSTRAINT TRIGGER environments_fit_changed AFTER UPDATE ON environments
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (NEW.host IS NOT NULL AND (NEW.host IS DISTINCT FROM OLD.host OR NEW.gpus IS DISTINCT FROM OLD.gpus
		OR NEW.gpu <> OLD.gpu OR NEW.gpu_milli <> OLD.gpu_milli
		OR NEW.cpu_milli > OLD.cpu_milli OR NEW.memory_bytes > OLD.memory_bytes))
	EXECUTE FUNCTION environments_fit();

-- A share is some of a GPU: what is left out, or less than nothing, makes no room.
ALTER TABLE environments ADD CONSTRAINT environments_gpus_check CHECK (gpus IS NULL OR (jsonb_typeof(gpus) = 'array'
	AND NOT jsonb_path_exists(gpus, '$[*] ? (!(@.uuid.type() == "string" && @.milli.type() == "number" && @.milli >= 1))')));

-- A bill follows what an environment has, also where that changes on the same host.
DROP TRIGGER usage_follows_changed ON environments;
CREATE TRIGGER usage_follows_changed AFTER UPDATE ON environments
	FOR EACH ROW WHEN (NEW.host IS DISTINCT FROM OLD.host OR NEW.gpus IS DISTINCT FROM OLD.gpus
		OR (NEW.host IS NOT NULL AND ((NEW.assignment = 'running') <> (OLD.assignment = 'running')
			OR NEW.cpu_milli <> OLD.cpu_milli OR NEW.memory_bytes <> OLD.memory_bytes)))
	EXECUTE FUNCTION usage_follows();
