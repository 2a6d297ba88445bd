"""Part of statements that change `queue_entry`."""

# Of rows that wait for something that is over.
SET_DUE = "state = 'due', next_at = now(), claimed_by = NULL, waits_until = NULL"
