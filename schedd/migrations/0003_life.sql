-- Since when a host is in its mode: draining hosts are emptied in this order.
ALTER TABLE hosts ADD COLUMN mode_since timestamptz;
UPDATE hosts SET mode_since = status_since;
ALTER TABLE hosts ALTER COLUMN mode_since SET NOT NULL;

-- What was asked for and is not done yet, the deadline, and how often the container ended.
ALTER TABLE environments
	ADD COLUMN action text NOT NULL DEFAULT '' CHECK (action IN ('', 'restart', 'move')),
	ADD COLUMN move_to text NOT NULL DEFAULT '',
	ADD COLUMN expires_at timestamptz,
	ADD COLUMN exit_code integer CHECK (exit_code BETWEEN 0 AND 255),
	ADD COLUMN crashes bigint NOT NULL DEFAULT 0 CHECK (crashes >= 0),
	ADD COLUMN next_try timestamptz,
	ADD CHECK (move_to = '' OR action = 'move'),
	ADD CHECK (phase <> 'deleted' OR action = '');
ALTER TABLE environments DROP CONSTRAINT environments_stage_check;
ALTER TABLE environments ADD CONSTRAINT environments_stage_check CHECK (stage IN ('', 'placing',
	'pulling', 'creating', 'starting', 'publishing', 'crash-loop'));
