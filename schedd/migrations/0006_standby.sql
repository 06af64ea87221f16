-- Standbys keep a copy of the rows: they read what has a higher revision than their copy, and need to
-- know which rows are gone and where the leader can be reached.
ALTER TABLE leader ADD COLUMN address text NOT NULL DEFAULT '';

-- What was removed, and by which commit. The leader forgets what is old; who knows less than that
-- reads everything anew.
CREATE TABLE departed (
	revision bigint NOT NULL,
	kind text NOT NULL CHECK (kind IN ('host', 'gateway', 'port', 'token', 'key')),
	id text NOT NULL
);
CREATE INDEX departed_revision ON departed (revision);
ALTER TABLE leader ADD COLUMN departed_since bigint NOT NULL DEFAULT 0;
UPDATE leader SET departed_since = revision;

CREATE INDEX environments_revision ON environments (revision);
CREATE INDEX port_mappings_revision ON port_mappings (revision);
