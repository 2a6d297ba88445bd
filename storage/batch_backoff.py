"""Work in batches, whose rows take turns by `served_at`: one whose batch fails waits longer each time."""

# Of a row: its batch has not failed, or long enough ago (2, 4, 8 … 600 s).
READY = "(failures = 0 OR served_at < now() - least(power(2, least(failures, 10)), 600) * interval '1 second')"
FAILED = "failures = failures + 1, served_at = clock_timestamp()"
