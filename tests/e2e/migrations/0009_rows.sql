-- What the ninth version knows in addition: whose the subject of an event is.
INSERT INTO events (revision, actor, subject_kind, subject, action, message, customer) VALUES
	(18, 'customer/alice', 'environment', 'env-5', 'stop', 'name=runs', 'alice');
UPDATE leader SET epoch = 11, revision = 18;
