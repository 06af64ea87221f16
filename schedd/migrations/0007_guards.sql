-- No host beyond its capacity: looked at when an environment gets a place, at the end of the commit. A
-- host that registers with less than it has given away keeps what it has and gets nothing new.
CREATE FUNCTION environments_fit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	room record;
	used record;
	gpu record;
BEGIN
	SELECT cpu_milli, memory_bytes INTO room FROM hosts WHERE id = NEW.host;
	SELECT sum(cpu_milli) AS cpu_milli, sum(memory_bytes) AS memory_bytes INTO used
		FROM environments WHERE host = NEW.host;
	IF used.cpu_milli > room.cpu_milli OR used.memory_bytes > room.memory_bytes THEN
		RAISE EXCEPTION 'host % has % milli CPU and % bytes; its environments would have % and %',
			NEW.host, room.cpu_milli, room.memory_bytes, used.cpu_milli, used.memory_bytes
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
CREATE CONSTRAINT TRIGGER environments_fit_new AFTER INSERT ON environments
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.host IS NOT NULL)
	EXECUTE FUNCTION environments_fit();
CREATE CONSTRAINT TRIGGER environments_fit_moved AFTER UPDATE ON environments
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (NEW.host IS NOT NULL AND (NEW.host IS DISTINCT FROM OLD.host OR NEW.gpus IS DISTINCT FROM OLD.gpus))
	EXECUTE FUNCTION environments_fit();

-- Events are written once. Only leader_forget takes away what is old.
CREATE FUNCTION events_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' AND current_setting('portico.forgetting', true) = 'on' THEN
		RETURN NULL;
	END IF;
	RAISE EXCEPTION 'events are only ever added' USING ERRCODE = 'PL003', CONSTRAINT = 'events_are_kept';
END
$$;
CREATE TRIGGER events_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON events
	FOR EACH STATEMENT EXECUTE FUNCTION events_are_kept();

-- A small piece of what is old: events of more than keep_seconds, and departures so long ago that a copy which
-- does not know of them is better read anew. Says whether there may be more.
CREATE FUNCTION leader_forget(my_epoch bigint, keep_seconds bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	horizon bigint;
	n_events bigint;
	n_departed bigint;
BEGIN
	SELECT revision - 100000 INTO horizon FROM leader WHERE epoch = my_epoch;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	PERFORM set_config('portico.forgetting', 'on', true);
	DELETE FROM events WHERE id IN (
		SELECT id FROM (SELECT id, at FROM events ORDER BY id LIMIT 1000) AS oldest
		WHERE at < now() - make_interval(secs => keep_seconds));
	GET DIAGNOSTICS n_events = ROW_COUNT;
	PERFORM set_config('portico.forgetting', 'off', true);
	DELETE FROM departed WHERE ctid IN (
		SELECT ctid FROM departed WHERE revision <= horizon ORDER BY revision LIMIT 1000);
	GET DIAGNOSTICS n_departed = ROW_COUNT;
	IF n_departed > 0 THEN
		UPDATE leader SET departed_since = greatest(departed_since, horizon);
	END IF;
	RETURN n_events = 1000 OR n_departed = 1000;
END
$$;
