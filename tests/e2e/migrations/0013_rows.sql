-- What the thirteenth version knows in addition: how long a host is silent, and how long a port waits.
UPDATE hosts SET online = false, silent_ms = 35000, revision = 22 WHERE id = 'emptied-host';
UPDATE port_mappings SET waited_ms = 15000, revision = 22 WHERE state = 'withdrawing';
UPDATE leader SET epoch = 15, revision = 22;
