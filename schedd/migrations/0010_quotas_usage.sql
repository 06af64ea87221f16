-- How much of each a customer may have at once; NULL: as much as there is. Written with the customer's row.
CREATE TABLE quotas (
	customer text PRIMARY KEY REFERENCES customers (id),
	environments bigint CHECK (environments >= 0),
	cpu_milli bigint CHECK (cpu_milli >= 0),
	memory_bytes bigint CHECK (memory_bytes >= 0),
	gpu bigint CHECK (gpu >= 0),
	ports bigint CHECK (ports >= 0)
);

-- What each environment held of a host, from when to when: a bill is a query. The database writes it, in the
-- transaction that gives and takes, so that no way to a place leads around it. Bytes that went through gateways
-- have no place here yet.
CREATE TABLE usage_intervals (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	environment text NOT NULL REFERENCES environments (id),
	customer text REFERENCES customers (id),
	host text NOT NULL, -- which may be gone since
	cpu_milli bigint NOT NULL,
	memory_bytes bigint NOT NULL,
	gpu_milli bigint NOT NULL, -- thousandths of GPUs, whole ones and shares
	running boolean NOT NULL,  -- else it was stopped and kept its place
	started_at timestamptz NOT NULL,
	ended_at timestamptz, -- NULL: it goes on
	CHECK (ended_at >= started_at)
);
CREATE UNIQUE INDEX usage_intervals_open ON usage_intervals (environment) WHERE ended_at IS NULL;
CREATE INDEX usage_intervals_customer ON usage_intervals (customer, started_at);
CREATE INDEX usage_intervals_ended ON usage_intervals (ended_at);
CREATE INDEX usage_intervals_environment ON usage_intervals (environment, ended_at);

-- Not before the last one ended: while a clock that was set back comes to that time again, nothing is counted twice.
CREATE FUNCTION usage_begins(env environments) RETURNS void LANGUAGE sql AS $$
	INSERT INTO usage_intervals (environment, customer, host, cpu_milli, memory_bytes, gpu_milli, running, started_at)
	VALUES (env.id, env.customer, env.host, env.cpu_milli, env.memory_bytes,
		coalesce((SELECT sum((share ->> 'milli')::bigint) FROM jsonb_array_elements(env.gpus) AS share), 0),
		env.assignment = 'running',
		greatest(now(), (SELECT max(ended_at) FROM usage_intervals WHERE environment = env.id)))
$$;

CREATE FUNCTION usage_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'UPDATE' AND OLD.host IS NOT NULL THEN
		-- A clock that was set back ends it where it began.
		UPDATE usage_intervals SET ended_at = greatest(now(), started_at)
			WHERE environment = NEW.id AND ended_at IS NULL;
	END IF;
	IF NEW.host IS NOT NULL THEN
		PERFORM usage_begins(NEW);
	END IF;
	RETURN NULL;
END
$$;
-- After a row was written, whose generated columns are known then.
CREATE TRIGGER usage_follows_new AFTER INSERT ON environments
	FOR EACH ROW WHEN (NEW.host IS NOT NULL) EXECUTE FUNCTION usage_follows();
CREATE TRIGGER usage_follows_changed AFTER UPDATE ON environments
	FOR EACH ROW WHEN (NEW.host IS DISTINCT FROM OLD.host OR NEW.gpus IS DISTINCT FROM OLD.gpus
		OR (NEW.host IS NOT NULL AND (NEW.assignment = 'running') <> (OLD.assignment = 'running')))
	EXECUTE FUNCTION usage_follows();
-- What holds a place now is known from now on.
SELECT usage_begins(environments) FROM environments WHERE host IS NOT NULL;

-- An interval is written once and ended once.
CREATE FUNCTION usage_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'UPDATE' AND OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL
		AND to_jsonb(NEW) - 'ended_at' = to_jsonb(OLD) - 'ended_at' THEN
		RETURN NEW;
	END IF;
	RAISE EXCEPTION 'usage is only ever added' USING ERRCODE = 'PL003', CONSTRAINT = 'usage_is_kept';
END
$$;
CREATE TRIGGER usage_is_kept BEFORE UPDATE OR DELETE ON usage_intervals
	FOR EACH ROW EXECUTE FUNCTION usage_is_kept();
CREATE TRIGGER usage_is_kept_whole BEFORE TRUNCATE ON usage_intervals
	FOR EACH STATEMENT EXECUTE FUNCTION usage_is_kept();
