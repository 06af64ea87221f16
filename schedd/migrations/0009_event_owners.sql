-- Whose the thing was that an event is about: a customer reads the events of what is its own.
ALTER TABLE events ADD COLUMN customer text;
ALTER TABLE events DISABLE TRIGGER events_are_kept;
UPDATE events SET customer = environments.customer FROM environments
	WHERE subject_kind = 'environment' AND events.subject = environments.id AND environments.customer IS NOT NULL;
UPDATE events SET customer = subject WHERE subject_kind = 'customer';
UPDATE events SET customer = tokens.customer FROM tokens
	WHERE subject_kind = 'token' AND events.subject = tokens.id AND tokens.customer IS NOT NULL;
ALTER TABLE events ENABLE TRIGGER events_are_kept;
CREATE INDEX events_customer ON events (customer, id) WHERE customer IS NOT NULL;
-- Revisions grow with the table: a stream that goes on from one reads little.
CREATE INDEX events_revision ON events USING brin (revision);
