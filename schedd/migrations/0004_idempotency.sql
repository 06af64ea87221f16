-- Requests that carried an Idempotency-Key: written with what they did, kept for a day.
CREATE TABLE idempotency_keys (
	id text PRIMARY KEY,
	fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
	subject text NOT NULL,
	created_at timestamptz NOT NULL,
	revision bigint NOT NULL
);
