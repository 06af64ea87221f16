-- Customers, who own environments, and the tokens of all who call the API.
CREATE TABLE customers (
	id text PRIMARY KEY CHECK (id ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$' AND length(id) <= 63),
	-- environments that are gone, and what was billed for them, still refer to it
	deleted boolean NOT NULL,
	created_at timestamptz NOT NULL,
	revision bigint NOT NULL
);

CREATE TABLE tokens (
	id text PRIMARY KEY,
	name text NOT NULL UNIQUE CHECK (name <> ''),
	role text NOT NULL CHECK (role IN ('admin', 'customer', 'host', 'gateway')),
	subject text NOT NULL,
	hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
	created_by text NOT NULL,
	created_at timestamptz NOT NULL,
	expires_at timestamptz,
	last_used_at timestamptz,
	revision bigint NOT NULL,
	customer text GENERATED ALWAYS AS (CASE WHEN role = 'customer' THEN subject END) STORED
		REFERENCES customers (id),
	CHECK ((role = 'admin') = (subject = ''))
);

ALTER TABLE environments ADD COLUMN customer text
	GENERATED ALWAYS AS (spec ->> 'customer') STORED REFERENCES customers (id);
CREATE INDEX environments_customer ON environments (customer) WHERE customer IS NOT NULL;

-- A name belongs to its owner: two customers may use the same.
DROP INDEX environments_live_name;
CREATE UNIQUE INDEX environments_live_name ON environments (coalesce(customer, ''), name)
	WHERE phase <> 'deleted';
