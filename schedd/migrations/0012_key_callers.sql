-- Whose a key is, as there is a limit on how many each caller has. Keys of before are nobody's, and gone within a day.
ALTER TABLE idempotency_keys ADD COLUMN caller text NOT NULL DEFAULT '';
