"""How long notifications are kept after their end, in days: the defaults of a tenant, and what it may choose."""

DEFAULT_CONTENT_DAYS = 90
DEFAULT_RECORD_DAYS = 400
MAX_DAYS = 3650
