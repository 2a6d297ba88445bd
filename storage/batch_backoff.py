"""Select the next row for batch work by `last_batch_at`, with exponential backoff for rows whose batch failed."""

# Of a row: its batch has not failed, or long enough ago (2, 4, 8 … 600 s).
IS_READY = "(failures = 0 OR last_batch_at < now() - least(power(2, least(failures, 10)), 600) * interval '1 second')"
RECORD_FAILURE = "failures = failures + 1, last_batch_at = clock_timestamp()"
