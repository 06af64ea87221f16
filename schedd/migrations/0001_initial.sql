-- The leader: one row. epoch grows with each process that becomes leader, revision with each
-- commit. Every commit goes through leader_advance, so a leader that was replaced while it slept
-- cannot write.
CREATE TABLE leader (
	singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	epoch bigint NOT NULL CHECK (epoch >= 0),
	revision bigint NOT NULL CHECK (revision >= 0),
	holder text NOT NULL DEFAULT '',
	since timestamptz NOT NULL DEFAULT now()
);
INSERT INTO leader (epoch, revision) VALUES (0, 0);

CREATE FUNCTION leader_advance(my_epoch bigint, from_revision bigint, to_revision bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE leader SET revision = to_revision
	WHERE epoch = my_epoch AND revision = from_revision AND to_revision > from_revision;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'epoch % at revision % is not the leader any more', my_epoch, from_revision
			USING ERRCODE = 'PL001';
	END IF;
END
$$;

CREATE TABLE hosts (
	id text PRIMARY KEY
		CHECK (id ~ '^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$' AND length(id) <= 63),
	address inet NOT NULL,
	pool text NOT NULL,
	labels jsonb NOT NULL,
	version text NOT NULL,
	cpu_milli bigint NOT NULL CHECK (cpu_milli >= 0),
	memory_bytes bigint NOT NULL CHECK (memory_bytes >= 0),
	gpus jsonb NOT NULL,
	online boolean NOT NULL,
	mode text NOT NULL CHECK (mode IN ('active', 'cordoned', 'draining', 'maintenance')),
	status_since timestamptz NOT NULL,
	revision bigint NOT NULL
);

CREATE TABLE gateways (
	id text PRIMARY KEY
		CHECK (id ~ '^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$' AND length(id) <= 63),
	addresses jsonb NOT NULL,
	version text NOT NULL,
	online boolean NOT NULL,
	status_since timestamptz NOT NULL,
	addresses_revision bigint NOT NULL,
	revision bigint NOT NULL
);

CREATE TABLE environments (
	id text PRIMARY KEY,
	name text NOT NULL,
	spec jsonb NOT NULL,
	cpu_milli bigint NOT NULL CHECK (cpu_milli > 0),
	memory_bytes bigint NOT NULL CHECK (memory_bytes > 0),
	gpu integer NOT NULL CHECK (gpu >= 0),
	gpu_milli integer NOT NULL CHECK (gpu_milli BETWEEN 0 AND 999),
	login text NOT NULL,
	password_hash text,
	ssh_host_key text,
	ssh_host_key_public text,
	phase text NOT NULL CHECK (phase IN ('pending', 'creating', 'running', 'stopping', 'stopped',
		'failed', 'unreachable', 'deleting', 'deleted')),
	stage text NOT NULL CHECK (stage IN ('', 'placing', 'pulling', 'creating', 'starting',
		'publishing')),
	reason text NOT NULL,
	power text NOT NULL CHECK (power IN ('on', 'off')),
	host text REFERENCES hosts (id),
	gpus jsonb,
	assignment text NOT NULL CHECK (assignment IN ('none', 'running', 'stopped')),
	assignment_revision bigint NOT NULL,
	created_at timestamptz NOT NULL,
	phase_since timestamptz NOT NULL,
	revision bigint NOT NULL,
	CHECK (assignment = 'none' OR host IS NOT NULL),
	CHECK (phase <> 'running' OR assignment = 'running'),
	CHECK (phase <> 'deleted' OR (host IS NULL AND assignment = 'none')),
	-- a deleted environment keeps no secret
	CHECK (phase <> 'deleted' OR (password_hash IS NULL AND ssh_host_key IS NULL))
);
CREATE UNIQUE INDEX environments_live_name ON environments (name) WHERE phase <> 'deleted';
CREATE INDEX environments_host ON environments (host) WHERE host IS NOT NULL;

-- One row for each external port that is not free: the primary key is the promise that a port has
-- one owner, quarantine included.
CREATE TABLE port_mappings (
	address inet NOT NULL,
	protocol text NOT NULL CHECK (protocol IN ('tcp', 'udp')),
	port integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
	environment text NOT NULL REFERENCES environments (id),
	service text NOT NULL,
	state text NOT NULL CHECK (state IN ('reserved', 'published', 'withdrawing', 'quarantined')),
	target_address inet,
	target_port integer CHECK (target_port BETWEEN 1 AND 65535),
	mapping_revision bigint NOT NULL,
	since timestamptz NOT NULL,
	quarantined_until timestamptz,
	revision bigint NOT NULL,
	PRIMARY KEY (address, protocol, port),
	CHECK ((target_address IS NULL) = (target_port IS NULL)),
	CHECK (state <> 'published' OR target_port IS NOT NULL),
	CHECK ((state = 'quarantined') = (quarantined_until IS NOT NULL))
);
CREATE UNIQUE INDEX port_mappings_service ON port_mappings (environment, service)
	WHERE state IN ('reserved', 'published');
CREATE INDEX port_mappings_environment ON port_mappings (environment);

-- Append-only: who did what, to what, and why.
CREATE TABLE events (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT now(),
	revision bigint NOT NULL,
	actor text NOT NULL,
	subject_kind text NOT NULL,
	subject text NOT NULL,
	action text NOT NULL,
	message text NOT NULL
);
CREATE INDEX events_subject ON events (subject_kind, subject, id);
