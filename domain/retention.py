"""Define for how many days notifications are kept after their end: the default, and the range that a tenant may
choose."""

DEFAULT_CONTENT_DAYS = 90
DEFAULT_RECORD_DAYS = 400
MAX_DAYS = 3650
