"""How long notifications are kept after their end, in days: the defaults of a tenant, and what it may choose."""

CONTENT_DAYS = 90
RECORD_DAYS = 400
LONGEST_DAYS = 3650
