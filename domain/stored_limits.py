"""Limit what callers may store. Checked after a merge, since many small requests add up.

A template, a payload and a recipient's attributes go to the rendering process in one message, which has a limit too:
the sum of their largest sizes stays below it.
"""

# Bytes of a JSON value as Postgres writes it, with a space after each comma and colon.
MAX_ATTRIBUTE_BYTES = 64 * 1024
# Objects, arrays, strings, numbers, booleans and nulls, at every depth.
MAX_ATTRIBUTE_VALUES = 5_000
MAX_PREFERENCE_BYTES = 64 * 1024
# Notification types and categories in the preferences of a recipient.
MAX_PREFERENCE_TYPES = 1_000
# Phones and browsers of a recipient.
MAX_DEVICES = 100
# The devices that were registered last are used for a channel of a notification; the others are skipped.
MAX_DEVICES_PER_CHANNEL = 20
# Chat rooms of a tenant.
MAX_CHAT_ROOMS = 20
# Concurrent calls to the endpoints of one notification.
MAX_CONCURRENT_CALLS = 8


DEFAULT_CONTENT_DAYS = 90
DEFAULT_RECORD_DAYS = 400
MAX_RETENTION_DAYS = 3650
