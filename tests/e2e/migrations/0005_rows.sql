-- What the fifth version knows in addition: a mapping that ends by itself.
INSERT INTO port_mappings VALUES
	('203.0.113.10', 'tcp', 30005, 'env-7', 'ssh', 'published', '10.0.0.8', 41001, 14, '2026-05-01', NULL, 14, '2126-05-01');
UPDATE leader SET epoch = 7, revision = 14;
